"""Turns in a real browser: words as they arrive, leaving, and what is said when something is in the way."""

import re
from collections.abc import Callable

import requests
from playwright.sync_api import expect

from tests.harness.gateways import GatewayProcess
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess
from tests.harness.windows import Window, Windows

Name = Callable[[str], str]

RESPONSE = "POST /v1/responses"


def test_words_are_shown_as_they_arrive(windows: Windows, provider: UpstreamProcess, name: Name):
    window = _window_on_new(windows, name("arriving"))
    provider.faults({"match": RESPONSE, "fault": "pause", "events": 8})

    window.say("Slowly, please")
    expect(window.said("assistant")).to_have_text(re.compile("^You said"))
    window.sees("The reply is arriving…")
    expect(window.said("assistant")).not_to_contain_text("first message")
    provider.release()
    expect(window.said("assistant")).to_contain_text("This is your first message here")
    window.sees(re.compile("^Answered in .* · first word after"))
    # Those who hear the page are told whole sentences.
    heard = window.page.locator("#announcer").inner_text()
    assert heard.startswith('You said: "Slowly, please". This is your first message here')


def test_a_turn_that_nobody_waits_for_is_not_lost(windows: Windows, provider: UpstreamProcess, name: Name):
    window = _window_on_new(windows, name("left"))
    provider.faults({"match": RESPONSE, "fault": "pause", "events": 8})

    window.say("Take your time")
    window.sees("The reply is arriving…")
    window.button("Stop waiting").click()
    window.sees("No longer waiting. The turn goes on, and its reply is shown when it is there.")
    provider.release()
    window.later(2)
    expect(window.said("assistant")).to_contain_text("This is your first message here")
    expect(window.page.locator(".turn-state")).to_have_text(["completed"])


def test_a_turn_that_is_left_in_the_queue_takes_place(
    windows: Windows, gateway: GatewayProcess, provider: UpstreamProcess, name: Name
):
    session = name("queued")
    gateway.say(session, "First")
    window = windows.open(session)
    expect(window.said("user")).to_have_count(1)
    provider.faults({"match": RESPONSE, "fault": "pause", "events": 2})
    with gateway.stream(session, "Second") as events:
        next(events)
        window.say("Third")
        window.sees("Waiting for the session's turn…")
        window.button("Stop waiting").click()
        window.sees("No longer waiting.")
        provider.release()
        assert [name for name, _ in events][-1] == "done"
    expect(window.said("user")).to_have_text(["First", "Second", "Third"])
    expect(window.said("assistant")).to_have_count(3)


def test_a_busy_session_says_so_and_takes_the_message_later(
    windows: Windows, gateway: GatewayProcess, provider: UpstreamProcess, name: Name
):
    session = name("busy")
    gateway.say(session, "First")
    window = windows.open(session).expects("409")
    expect(window.said("user")).to_have_count(1)
    provider.faults({"match": RESPONSE, "fault": "pause", "events": 2})
    with gateway.stream(session, "Second") as events:
        next(events)
        window.say("Third")
        window.sees("Another turn of this session is running.")
        window.sees("It took longer than a message may wait. Send again: it takes its place in the queue.")
        provider.release()
        assert [name for name, _ in events][-1] == "done"
    window.button("Send again").click()
    expect(window.said("user")).to_have_text(["First", "Second", "Third"])
    window.sees(re.compile("^Answered in"))


def test_a_lost_conversation_is_never_replaced_unasked(
    windows: Windows, gateway: GatewayProcess, provider: UpstreamProcess, name: Name
):
    session = name("gone")
    conversation_id = gateway.say(session, "Remember me")["conversation_id"]
    window = windows.open(session).expects("410", "404")
    expect(window.said("user")).to_have_text(["Remember me"])
    _lose(provider, conversation_id)

    window.say("Do you?")
    window.sees("What was said is lost. The session can go on with a new conversation.")
    window.button("Go on with a new conversation").click()
    window.sees(re.compile("^Answered in"))
    expect(window.said("user")).to_have_text(["Do you?"])
    expect(window.part("Details")).to_contain_text("Generation2")


def test_a_limit_is_said_with_the_time_to_wait(
    windows: Windows, gateway: GatewayProcess, provider: UpstreamProcess, name: Name
):
    session = name("limited")
    gateway.say(session, "First")
    window = windows.open(session).expects("429")
    expect(window.said("user")).to_have_count(1)
    provider.faults({"match": RESPONSE, "fault": "status", "status": 429, "headers": {"retry-after": "7"}})
    window.say("Too fast")
    window.sees(re.compile("Send again a little later. Wait [67](\\.\\d)? s."))
    window.button("Edit the message").click()
    expect(window.message).to_have_value("Too fast")
    expect(window.message).to_be_focused()
    provider.withdraw()
    window.press("Enter")
    expect(window.said("user")).to_have_text(["First", "Too fast"])


def test_tool_calls_can_be_read_answered_and_cancelled(windows: Windows, gateway: GatewayProcess, name: Name):
    session = name("tools")
    gateway.post(
        "/v1/responses",
        {"model": "demo", "input": 'call weather {"city": "Rome"}', "conversation": session, "tools": TOOLS},
    )
    window = windows.open(session).expects("409")
    card = window.page.locator(".card.call")
    expect(card).to_contain_text("Call of weather")
    expect(card).to_contain_text('"city": "Rome"')
    window.sees("The model waits for 1 tool output.")
    window.say("Never mind")
    window.sees("Send the output below, or cancel the call.")
    window.page.get_by_label("Output of weather").fill('{"sky": "blue"}')
    window.button("Send the output").click()
    expect(window.page.locator(".card.output")).to_contain_text("Output of weather")
    expect(window.said("assistant")).to_contain_text("The tool weather answered")

    gateway.post(
        "/v1/responses", {"model": "demo", "input": "call weather {}", "conversation": session, "tools": TOOLS}
    )
    window.button("Cancel the calls").click()
    expect(window.page.locator(".card.output")).to_have_count(2)
    window.say("Thank you")
    window.sees(re.compile("^Answered in"))


def test_a_gateway_that_goes_away_and_comes_back(
    windows: Windows, gateway: GatewayProcess, provider: UpstreamProcess, name: Name
):
    session = name("away")
    gateway.say(session, "Before")
    window = windows.open(session).expects("ERR_")
    expect(window.said("user")).to_have_text(["Before"])
    provider.faults({"match": RESPONSE, "fault": "pause", "events": 8})
    window.say("Meanwhile")
    window.sees("The reply is arriving…")

    gateway.kill()
    window.sees("The gateway does not answer. As soon as it is back, this page goes on by itself.")
    window.sees("No longer waiting.")
    provider.release()
    eventually(lambda: provider.seen()["waiting"] == 0)
    gateway.start()
    expect(window.page.locator("#banner")).to_be_hidden()
    expect(window.said("user")).to_have_text(["Before", "Meanwhile"])
    window.say("After")
    window.sees(re.compile("^Answered in"))
    expect(window.said("user").last).to_have_text("After")


TOOLS = [{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}]


def _window_on_new(windows: Windows, session_id: str) -> Window:
    window = windows.blank().expects("404").open(session_id)
    window.button("Start it").click()
    window.button("Create").click()
    window.sees("Nothing has been said here yet.")
    return window


def _lose(provider: UpstreamProcess, conversation_id: str) -> None:
    requests.delete(f"{provider.url}/conversations/{conversation_id}", timeout=10).raise_for_status()
