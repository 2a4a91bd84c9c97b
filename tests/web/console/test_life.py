"""The whole life of a session in a real browser: by mouse, by keyboard alone, in two windows."""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.harness.gateways import GatewayProcess
from tests.harness.windows import Window, Windows

Name = Callable[[str], str]


def test_a_sessions_whole_life_by_mouse(windows: Windows, gateway: GatewayProcess, name: Name):
    # A look that is on its way may meet the erased session.
    window = windows.open().expects("404")
    first, renamed, forked = name("mouse"), name("renamed"), name("forked")

    window.button("New").click()
    window.dialog.get_by_label("Session id").fill(first)
    window.dialog.get_by_label("Data").fill('{"plan": "beginner"}')
    window.button("Create").click()
    expect(window.page.locator("#title")).to_have_text(first)
    window.sees("Nothing has been said here yet.")

    window.say("My name is Alice")
    expect(window.said("user")).to_have_text(["My name is Alice"])
    expect(window.said("assistant")).to_have_text([re.compile('You said: "My name is Alice"')])
    window.sees(re.compile(r"^Answered in .* tokens · demo$"))
    expect(window.page.locator(".turn-state")).to_have_text(["completed"])

    window.button("Edit data").click()
    window.page.get_by_label("Data as JSON", exact=True).fill('{"plan": "advanced", "days": 3}')
    window.button("Save").click()
    expect(window.part("Data")).to_contain_text('"days": 3')
    window.page.get_by_label("Status of this session").select_option("completed")
    window.sees("The session is completed.")

    window.button("Rename").click()
    window.dialog.get_by_label("New id").fill(renamed)
    window.dialog.get_by_label("User").fill("alice")
    window.dialog.get_by_role("button", name="Rename").click()
    expect(window.page.locator("#title")).to_have_text(renamed)
    expect(window.row(first)).to_have_count(0)

    window.button("Fork").click()
    window.dialog.get_by_label("Id of the copy").fill(forked)
    window.dialog.get_by_role("button", name="Fork").click()
    expect(window.page.locator("#title")).to_have_text(forked)
    expect(window.said("user")).to_have_text(["My name is Alice"])

    window.button("Transcript").click()
    with window.page.expect_download() as download:
        window.dialog.get_by_role("link", name="Markdown").click()
    assert "My name is Alice" in download.value.path().read_text()
    window.button("Close").click()

    window.button("Reset").click()
    window.dialog.get_by_role("button", name="Reset").click()
    window.sees("A new conversation. The old one is erased.")
    expect(window.said("user")).to_have_count(0)

    window.row(renamed).click()
    window.button("Erase").click()
    for loss in (renamed, "1 turn", "at the provider", "plan, days"):
        expect(window.dialog.locator("#losses")).to_contain_text(loss)
    window.button("Erase for good").click()
    window.sees(re.compile(rf"^{renamed} is erased: 2 items, the conversation, 1 stored response\.$"))
    expect(window.row(renamed)).to_have_count(0)
    assert gateway.get(f"/sessions/{renamed}").status_code == 404
    assert gateway.get(f"/sessions/{forked}").json()["data"] == {"plan": "advanced", "days": 3}


def test_a_sessions_whole_life_by_keyboard_alone(windows: Windows, gateway: GatewayProcess, name: Name):
    # A look that is on its way may meet the erased session.
    window = windows.open().expects("404")
    other, session, renamed, forked = name("other"), name("keys"), name("moved"), name("copied")
    gateway.say(other, "Hello")

    window.press("n")
    window.type(session)
    window.press("Enter")
    expect(window.message).to_be_focused()
    window.type("What can I do?")
    window.press("Enter")
    expect(window.said("assistant")).to_have_text([re.compile('You said: "What can I do')])
    window.sees(re.compile("^Answered in"))
    expect(window.row(session)).to_be_visible()

    window.press("Escape")
    expect(window.row(session)).to_be_focused()
    expect(window.row(other)).to_be_visible()
    window.press("ArrowDown")
    expect(window.row(other)).to_be_focused()
    window.press("Enter")
    expect(window.page.locator("#title")).to_have_text(other)
    window.press("Escape", "ArrowUp", "Enter")
    expect(window.page.locator("#title")).to_have_text(session)
    expect(window.said("user")).to_have_text(["What can I do?"])

    window.press("Escape", "?")
    expect(window.dialog.get_by_role("heading")).to_have_text("Keys")
    window.press("Escape")
    expect(window.row(session)).to_be_focused()

    window.press("m")
    window.type(renamed)
    window.press("Enter")
    expect(window.page.locator("#title")).to_have_text(renamed)
    expect(window.said("user")).to_have_text(["What can I do?"])
    window.press("Escape", "f")
    window.type(forked)
    window.press("Enter")
    expect(window.page.locator("#title")).to_have_text(forked)
    expect(window.said("user")).to_have_text(["What can I do?"])

    window.press("Escape", "r")
    window.press("ArrowDown", "Enter")
    window.sees("A new conversation, 2 items copied. The old one is erased.")

    window.press("x")
    expect(window.dialog.get_by_role("button", name="Cancel")).to_be_focused()
    window.press("Tab", "Enter")
    window.sees(re.compile(f"^{forked} is erased"))

    window.press("/")
    window.type(renamed)
    expect(window.rows()).to_have_text([renamed])
    window.press("ArrowDown", "Enter")
    expect(window.page.locator("#title")).to_have_text(renamed)


def test_two_windows_show_the_same_session(windows: Windows, name: Name):
    session = name("shared")
    one = windows.blank().expects("404").open(session)
    one.button("Start it").click()
    one.button("Create").click()
    two = windows.beside(one, session).expects("412", "404")
    two.sees("Nothing has been said here yet.")

    one.say("From the first window")
    expect(two.said("user")).to_have_text(["From the first window"])
    two.say("From the second window")
    for window in (one, two):
        expect(window.said("user")).to_have_text(["From the first window", "From the second window"])
        expect(window.said("assistant")).to_have_count(2)

    _begin_editing(one, '{"one": 1}')
    _begin_editing(two, '{"two": 2}')
    one.button("Save").click()
    expect(one.part("Data")).to_contain_text('"one": 1')
    two.button("Save").click()
    two.sees(re.compile("Somebody else has changed this session meanwhile: one"))
    two.button("Save").click()
    for window in (one, two):
        expect(window.part("Data")).to_contain_text('"one": 1,\n  "two": 2')

    two.button("Erase").click()
    two.button("Erase for good").click()
    one.sees("There is no such session")


def _begin_editing(window: Window, text: str) -> None:
    window.button("Edit data").click()
    window.page.get_by_label("Data as JSON", exact=True).fill(text)
