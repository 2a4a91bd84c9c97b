"""gateway chat: at a terminal and through a pipe, with a real gateway."""

import fcntl
import struct
import termios
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.harness.commands import Inside, Runner, Terminal
from tests.harness.gateways import GatewayProcess
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess


def test_a_conversation_at_a_terminal(gateway: Runner, running: GatewayProcess):
    with gateway.terminal("chat", "--url", running.url, "--session", "alice") as chat:
        chat.expect("session alice is new. /help tells the commands.")
        chat.expect("alice>")
        chat.enter("/history").expect("Nothing was said yet.")
        chat.enter("The rain falls mainly in the plain")
        # Once as it is typed, and again as the demo model quotes it.
        chat.expect("The rain falls mainly")
        chat.expect("The rain falls mainly")
        chat.expect("alice>")
        chat.enter("/new bob").expect("bob>")
        chat.enter("Hello from bob").expect("bob>")
        chat.enter("/sessions").expect("* bob")
        chat.expect("  alice")
        chat.enter("/new alice").expect("alice is there already")
        chat.enter("/use alice").expect("alice goes on after 1 turn.")
        chat.enter("/history").expect("User:\nThe rain falls mainly in the plain\nAssistant:\n")
        chat.enter("/dance").expect("There is no /dance; /help tells the commands.")
        chat.enter("/help").expect("begin a new session")
        chat.enter("/exit")
        assert chat.ends() == 0
    turns = running.get("/sessions/alice").json()["turns"]
    assert turns == 1  # commands are no turns


def test_use_goes_on_with_a_session_or_begins_one(gateway: Runner, running: GatewayProcess):
    with gateway.terminal("chat", "--url", running.url, "--session", "before") as chat:
        chat.expect("before>")
        chat.enter("/use brand-new").expect("brand-new is new.")
        chat.expect("brand-new>")
        chat.enter("Hello there")
        chat.expect("brand-new>")
        chat.enter("/use brand-new").expect("brand-new goes on after 1 turn.")
        chat.expect("brand-new>")
        for wrong in ("conv_1", "a/b", "two words", ""):
            chat.enter(f"/use {wrong}").expect("A session id has 1 to 200 characters")
            chat.expect("brand-new goes on.")
            chat.expect("brand-new>")
        chat.enter("Still here?").expect("Still here?")
        chat.expect("brand-new>")
        chat.enter("/exit")
        assert chat.ends() == 0
    assert running.get("/sessions/brand-new").json()["turns"] == 2
    assert running.get("/sessions/before").status_code == 404


LONG = (
    "The rain in Spain stays mainly in the plain, 日本語 の 文章 と 絵文字 🙂🙂 も ok, and http://a.example/{} is long"
)


def test_words_wrap_between_words_at_the_terminals_width(gateway: Runner, running: GatewayProcess):
    message = LONG.format("x" * 60)
    gateway.environ["COLUMNS"] = "160"  # of a terminal that was left
    with gateway.terminal("chat", "--url", running.url, "--session", "narrow") as chat:
        chat.expect("narrow>")
        resize(chat, 34)
        chat.enter(message).expect("You said:")
        streamed = f"You said:{chat.expect('narrow>')}".splitlines()
        chat.enter("/history").expect("Assistant:")
        whole = chat.expect("narrow>").splitlines()[1:]
        chat.enter("/exit")
        assert chat.ends() == 0
    (reply,) = (
        item["content"][0]["text"]
        for item in running.get("/sessions/narrow/items").json()["data"]
        if item["role"] == "assistant"
    )
    assert "\n" not in reply
    for lines in (streamed, whole):
        assert " ".join(lines) == reply
        assert len(lines) > 4
        assert [line for line in lines if cell_len(line) > 34] == [line for line in lines if "http" in line]
    piped = gateway.well("chat", "--url", running.url, "--session", "wide", stdin=message)
    assert piped == f"{reply}\n"


def resize(chat: Terminal, columns: int) -> None:
    fcntl.ioctl(chat._master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))


def test_lines_of_former_chats_come_back_and_are_for_nobody_elses_eyes(gateway: Runner, running: GatewayProcess):
    words = ("chat", "--url", running.url, "--session", "history")
    with gateway.terminal(*words) as chat:
        chat.expect("history>")
        chat.enter("/dance somewhere").expect("There is no /dance")
        chat.expect("history>")
        chat.type("\x04")
        assert chat.ends() == 0
    (file,) = (gateway.folder / "state").rglob("chat-history")
    assert file.stat().st_mode & 0o077 == 0
    with gateway.terminal(*words) as chat:
        chat.expect("history>")
        chat.type("\x1b[A\r").expect("There is no /dance")  # the arrow up


def test_ctrl_c_at_the_prompt_drops_the_line_only(gateway: Runner, running: GatewayProcess):
    with gateway.terminal("chat", "--url", running.url, "--session", "ctrl") as chat:
        chat.expect("ctrl>")
        chat.type("half a mess").expect("half a mess")
        chat.type("\x03").expect("ctrl>")
        chat.enter("/exit")
        assert chat.ends() == 0
    assert running.get("/sessions/ctrl").status_code == 404


def test_ctrl_c_stops_waiting_and_the_turn_goes_on(gateway: Runner, tmp_path: Path):
    settings = {"GATEWAY_STORE": f"json:{tmp_path / 'sessions.json'}", "OPENAI_API_KEY": "sk-test"}
    with (
        UpstreamProcess() as upstream,
        GatewayProcess(OPENAI_BASE_URL=upstream.url, GATEWAY_MODEL="demo", **settings) as process,
        gateway.terminal("chat", "--url", process.url, "--session", "alice") as chat,
    ):
        upstream.faults({"match": "POST /v1/responses", "times": 1, "fault": "pause", "events": 6})
        chat.expect("alice>")
        chat.enter("Do you hear me")
        eventually(lambda: upstream.seen()["waiting"])
        chat.type("\x03").expect("No longer waiting. The turn goes on: /history shows its reply later.")
        chat.expect("alice>")
        upstream.release()
        eventually(lambda: process.get("/sessions/alice").json()["turns"] == 1)
        chat.enter("/history").expect("Assistant:\n")
        chat.enter("/exit")
        assert chat.ends() == 0


def test_through_a_pipe_stdout_is_just_the_reply(gateway: Runner, running: GatewayProcess):
    words = ("chat", "--url", running.url, "--session", "piped")
    first = gateway(*words, stdin="My name is Zoë\n")
    assert (first.returncode, first.stderr) == (0, "")
    assert "My name is Zoë" in first.stdout
    assert first.stdout.endswith("\n")
    again = gateway.shell(f"echo 'What did I say?' | gateway {' '.join(words)}")
    assert "My name is Zoë" in again.stdout
    assert running.get("/sessions/piped").json()["turns"] == 2


def test_a_pipe_without_a_session_is_told_its_new_one(gateway: Runner, running: GatewayProcess):
    done = gateway("chat", "--url", running.url, stdin="hi")
    assert done.returncode == 0
    session_id = done.stderr.removeprefix("session: ").strip()
    assert running.get(f"/sessions/{session_id}").status_code == 200


@pytest.mark.parametrize(
    ("words", "stdin", "code", "said"),
    [
        (("--url", "http://127.0.0.1:9"), "hi", 1, "No gateway answers at http://127.0.0.1:9"),
        (("--url", "127.0.0.1:8080"), "hi", 2, "it takes a URL that begins with http:// or https://"),
        (("--session", "conv_1"), "hi", 2, "does not start with conv_"),
        ((), "  \n", 2, "There is no message"),
    ],
)
def test_what_cannot_be_sent_is_said(inside: Inside, words: tuple[str, ...], stdin: str, code: int, said: str):
    done = inside("chat", *words, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr.splitlines()[-1]


def test_at_a_terminal_a_gateway_that_is_not_there_is_said_before_the_prompt(gateway: Runner):
    with gateway.terminal("chat", "--url", "http://127.0.0.1:9") as chat:
        chat.expect("Error: No gateway answers at http://127.0.0.1:9: start one with `gateway serve`")
        assert chat.ends() == 1


def test_an_address_that_is_no_gateway(gateway: Runner, running: GatewayProcess):
    done = gateway("chat", "--url", f"{running.url}/nowhere", stdin="hi")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ")
