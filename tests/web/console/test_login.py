"""The console of a gateway that asks for keys."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.harness.gateways import GatewayProcess
from tests.harness.windows import Windows, open_windows

Name = Callable[[str], str]


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """On the local provider's demo."""
    with GatewayProcess(GATEWAY_AUTH="keys") as running:
        yield running


@pytest.fixture
def windows(browser: Browser, gateway: GatewayProcess) -> Iterator[Windows]:
    with open_windows(browser, gateway.url) as opened:
        yield opened


def test_a_key_opens_the_console(windows: Windows, gateway: GatewayProcess, name: Name):
    key = _make_key(gateway, "alice")
    window = windows.blank().expects("401").open()
    expect(window.dialog.get_by_role("heading")).to_have_text("Log in")
    expect(window.page.locator("#directory")).not_to_be_visible()
    window.press("Escape")
    window.dialog.get_by_label("Key").fill("a wrong one")
    window.press("Enter")
    expect(window.dialog.locator(".problem")).to_contain_text("This one is not accepted.")
    window.dialog.get_by_label("Key").fill(key)
    window.press("Enter")
    window.sees("There are no sessions yet.")

    # Whatever the page does is done with the cookie, which no script can read.
    window.press("n")
    window.type(name("mine"))
    window.press("Enter")
    window.say("Hello")
    window.sees(re.compile("^Answered in"))
    (cookie,) = window.page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    window.page.reload()
    expect(window.said("user")).to_have_text(["Hello"])

    window.button("Log out").click()
    expect(window.dialog.get_by_role("heading")).to_have_text("Log in")
    assert window.page.context.cookies() == []
    assert window.violations() == []


def test_who_is_logged_out_elsewhere_sees_nothing_more(windows: Windows, gateway: GatewayProcess, name: Name):
    key = _make_key(gateway, "bob")
    window = windows.blank().expects("401").open()
    window.dialog.get_by_label("Key").fill(key)
    window.press("Enter")
    window.sees("There are no sessions yet.")
    window.press("n")
    window.type(name("kept"))
    window.press("Enter")
    window.message.fill("Not yet sent")
    window.page.context.clear_cookies()
    window.later(10)
    expect(window.dialog.get_by_role("heading")).to_have_text("Log in")
    expect(window.message).not_to_be_visible()
    # And goes on with what was being written.
    window.dialog.get_by_label("Key").fill(key)
    window.press("Enter")
    expect(window.message).to_have_value("Not yet sent")


def test_an_admin_reaches_the_sessions_of_a_user(windows: Windows, gateway: GatewayProcess, name: Name):
    session, copied = name("hers"), name("copied")
    hers = {"Authorization": f"Bearer {_make_key(gateway, 'clara', '--tenant', 'acme', '--user', 'clara')}"}
    gateway.post("/workflow", {"session_id": session, "input_as_text": "Hello"}, **hers)
    window = windows.blank().expects("401").open()
    window.dialog.get_by_label("Key").fill(_make_key(gateway, "root", "--tenant", "acme", "--role", "admin"))
    window.press("Enter")
    window.page.get_by_label("Only this user's sessions").fill("clara")
    window.row(session).click()
    expect(window.said("user")).to_have_text(["Hello"])
    window.say("Can I help?")
    window.sees(re.compile("^Answered in"))
    window.button("Fork").click()
    window.dialog.get_by_label("Id of the copy").fill(copied)
    window.press("Enter")
    expect(window.page.locator("#title")).to_have_text(copied)
    expect(window.said("user")).to_have_text(["Hello", "Can I help?"])
    found = gateway.get("/sessions", headers=hers).json()["data"]
    assert [each["session_id"] for each in found] == [copied, session]


def _make_key(gateway: GatewayProcess, name: str, *options: str) -> str:
    command = [sys.executable, "-m", "gateway", "keys", "create", name, *(options or ("--tenant", name))]
    made = subprocess.run(command, cwd=gateway.folder, env=gateway.environ(), capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return made.stdout.split()[-1]
