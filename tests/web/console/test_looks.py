"""What everybody can see: markup that stays text, what can be found, a page that checkers find no fault with."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.harness.gateways import GatewayProcess
from tests.harness.upstream import UpstreamProcess
from tests.harness.windows import DESKTOP, PHONE, Windows

Name = Callable[[str], str]

EVIL = "<img src=x onerror=\"console.error('ran')\"><script>console.error('ran')</script>"


def test_markup_is_only_text(windows: Windows, gateway: GatewayProcess, name: Name):
    session = name("evil")
    gateway.say(session, EVIL, user_id=EVIL, data={EVIL: EVIL}, metadata={"evil": EVIL[:64]})
    gateway.say(session, f"[a link](javascript:alert(1)) ![a picture](https://elsewhere.example/x.png) `{EVIL}`")
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": EVIL}
    output = {"type": "function_call_output", "call_id": "c1", "output": EVIL}
    gateway.post(f"/sessions/{session}/items", {"items": [call, output]})
    window = windows.open(session)

    expect(window.said("user").first).to_have_text(EVIL)
    expect(window.said("assistant").first).to_contain_text(EVIL)
    expect(window.page.locator(".card.output")).to_contain_text(EVIL)
    expect(window.part("Data")).to_contain_text("onerror")
    expect(window.part("Mapping")).to_contain_text(EVIL)
    expect(window.row(session)).to_contain_text(EVIL)
    window.button("Erase").click()
    expect(window.dialog.locator("#losses")).to_contain_text(EVIL)
    window.button("Cancel").click()
    window.page.get_by_label("Only this user's sessions").fill(EVIL)
    expect(window.rows()).to_have_text([session])
    # Nothing of it became an element; a link to elsewhere is one to click, and never loaded by itself.
    assert window.page.locator("img, script:not([src]), [onerror], a[href^='javascript:']").count() == 0
    assert (
        window.page.locator(".text a").evaluate_all("links => links.map(a => [a.href, a.rel])")
        == [["https://elsewhere.example/x.png", "noopener noreferrer"]] * window.page.locator(".text a").count()
    )


def test_sessions_are_found(windows: Windows, gateway: GatewayProcess, name: Name):
    prefix = name("find")
    for number in range(32):
        gateway.post("/sessions", {"session_id": f"{prefix}:{number:02}", "user_id": f"{prefix}-{number % 2}"})
    gateway.say(name("other"), "Hello")
    window = windows.open()
    window.page.get_by_label("Search sessions").fill(f"{prefix}:")
    expect(window.rows()).to_have_count(30)
    expect(window.rows().first).to_have_text(f"{prefix}:31")
    window.button("Show more").click()
    expect(window.rows()).to_have_count(32)
    expect(window.button("Show more")).to_be_hidden()

    # What is used now moves up, and the pages that were loaded stay.
    gateway.say(f"{prefix}:05", "Hello")
    window.later(10)
    expect(window.rows().first).to_have_text(f"{prefix}:05")
    expect(window.rows()).to_have_count(32)

    window.page.get_by_label("Only this user's sessions").fill(f"{prefix}-1")
    expect(window.rows()).to_have_count(16)
    window.page.get_by_label("Only sessions of this status").select_option("abandoned")
    window.sees("No session is like that.")
    window.button("Clear the search").click()
    expect(window.rows()).to_have_count(30)


def test_a_long_history_is_read_a_page_at_a_time(windows: Windows, gateway: GatewayProcess, name: Name):
    session = name("long")
    gateway.say(session, "The last")
    said = [{"role": "user", "content": f"Message {number}"} for number in range(60)]
    gateway.post(f"/sessions/{session}/items", {"items": said})
    window = windows.open(session)
    expect(window.said("user")).to_have_count(40)
    expect(window.said("user").last).to_be_in_viewport()
    window.button("Show earlier").click()
    expect(window.said("user")).to_have_count(61)
    window.button("Newest").click()
    expect(window.said("user").last).to_be_in_viewport()


def test_nothing_is_asked_in_a_hidden_tab(windows: Windows, gateway: GatewayProcess, name: Name):
    gateway.say(name("hidden"), "Hello")
    window = windows.open(name("hidden"))
    expect(window.said("user")).to_have_count(1)
    window.hide()
    window.page.wait_for_load_state("networkidle")
    asked: list[str] = []
    window.page.on("request", lambda request: asked.append(request.url))
    window.later(600)
    assert asked == []
    with window.page.expect_request(re.compile("/sessions")):
        window.hide(False)


def test_the_activity_chart_shows_what_is_going_on(
    windows: Windows, gateway: GatewayProcess, provider: UpstreamProcess, name: Name
):
    window = windows.open()
    value = window.page.locator("#tile-now .value")
    expect(value).to_have_text("0")
    provider.faults({"match": "POST /v1/responses", "fault": "pause", "events": 2})
    with gateway.stream(name("activity"), "Hello") as events:
        next(events)
        window.later(5)
        expect(value).to_have_text("1")
        provider.release()
        list(events)
    window.later(5)
    expect(value).to_have_text("0")
    expect(window.page.locator("#tile-whole .value")).to_have_text(re.compile("s$"))


def test_the_theme_is_the_systems_until_one_is_chosen(windows: Windows):
    window = windows.open(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = window.page.evaluate(ground)
    window.page.emulate_media(color_scheme="light")
    light = window.page.evaluate(ground)
    assert light != dark
    window.button("Light or dark").click()
    assert window.page.evaluate(ground) == dark
    window.page.reload()
    assert window.page.evaluate(ground) == dark


@pytest.mark.parametrize("view", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_accessibility_checker_finds_nothing(
    windows: Windows, gateway: GatewayProcess, provider: UpstreamProcess, name: Name, view: dict[str, Any]
):
    session = name("axe")
    gateway.say(session, "# A title\n\n- `one`\n- **two**\n\n```\ncode\n```", data={"plan": "beginner"})
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    gateway.post(f"/sessions/{session}/items", {"items": [call]})
    window = windows.blank(**view).expects("404", "429").open()
    expect(window.row(session)).to_be_visible()
    found = window.violations() + window.too_wide()
    window.row(session).click()
    window.sees("The model waits for 1 tool output.")
    found += window.violations() + window.too_wide()
    window.button("Erase").click()
    found += window.violations()
    window.press("Escape")
    if view is PHONE:
        window.button("Details").click()
        found += window.violations()
        window.button("Details").click()
    window.button("Cancel the calls").click()
    provider.faults({"match": "POST /v1/responses", "fault": "status", "status": 429})
    window.say("Too fast")
    window.sees("The provider's rate limit is reached.")
    found += window.violations()
    window.open(name("missing"))
    window.sees("There is no such session")
    found += window.violations()
    assert found == []
