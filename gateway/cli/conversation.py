"""The prompt of `gateway chat`: messages, and commands that begin with a slash."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.output import create_output

from gateway.cli.client import ClientError
from gateway.cli.common import console, counted, say
from gateway.cli.words import NO_LONGER_WAITING, explain, printable, speak, tell_rest
from gateway.cli.wrapping import wrapped
from gateway.errors import InvalidSessionIdError
from gateway.history.rendering import ItemRenderer, Kind, Part
from gateway.model import JSON, new_session_id, parse_session_id

if TYPE_CHECKING:
    from gateway.cli.client import GatewayClient


class Conversation:
    """One chat, in one session at a time. What goes wrong is said, and the chat goes on."""

    def __init__(self, client: GatewayClient, session_id: str | None) -> None:
        self._client = client
        self._session_id = session_id or new_session_id()
        self._commands: dict[str, tuple[Callable[[str], None], str, str]] = {
            "/new": (self._new, "[ID]", "begin a new session"),
            "/sessions": (self._sessions, "", "the sessions used last"),
            "/use": (self._use, "ID", "go on with another session, or begin one of this name"),
            "/history": (self._history, "", "what was said so far, without asking a model"),
            "/help": (self._help, "", "this list"),
            "/exit": (self._exit, "", "leave (so does Ctrl-D)"),
        }
        self._left = False

    def run(self) -> None:
        """Until the user leaves. `ClientError` when there is no gateway to begin with."""
        said = self._standing(self._session_id)
        say(f"{self._client.url}: session {self._session_id} {said}. /help tells the commands.")
        session: PromptSession[str] = PromptSession(
            history=_history_file(),
            completer=WordCompleter(list(self._commands), sentence=True),
            complete_while_typing=False,
            output=create_output(always_prefer_tty=True),
        )
        while not self._left:
            try:
                line = session.prompt(FormattedText([("bold", self._session_id), ("", "> ")])).strip()
            except KeyboardInterrupt:
                continue  # away with the line that was begun
            except EOFError:
                return
            if line:
                self._do(line)

    def _do(self, line: str) -> None:
        try:
            if line.startswith("/"):
                name, _, rest = line.partition(" ")
                command = self._commands.get(name)
                if command is None:
                    say(f"There is no {name}; /help tells the commands.")
                else:
                    command[0](rest.strip())
            else:
                tell_rest(speak(self._client, self._session_id, line))
        except ClientError as exc:
            say(explain(exc))
        except KeyboardInterrupt:
            say("" if line.startswith("/") else NO_LONGER_WAITING)

    def _look(self, session_id: str) -> JSON | None:
        """The session, if there is one."""
        try:
            return self._client.session(session_id)
        except ClientError as exc:
            if exc.code == "session_not_found":
                return None
            raise

    def _standing(self, session_id: str) -> str:
        there = self._look(session_id)
        return f"goes on after {counted(there['turns'], 'turn')}" if there else "is new"

    # --- Commands ------------------------------------------------------------------------------------------

    def _new(self, rest: str) -> None:
        session_id = self._named(rest) if rest else new_session_id()
        if session_id is None:
            return
        if self._look(session_id) is not None:
            say(f"{session_id} is there already: /use {session_id} goes on with it.")
            return
        self._session_id = session_id

    def _use(self, rest: str) -> None:
        session_id = self._named(rest)
        if session_id is None:
            return
        said = self._standing(session_id)
        self._session_id = session_id
        say(f"{session_id} {said}.")

    def _named(self, rest: str) -> str | None:
        try:
            return parse_session_id(rest)
        except InvalidSessionIdError as exc:
            say(f"{exc} {self._session_id} goes on.")
            return None

    def _sessions(self, rest: str) -> None:
        found = self._client.sessions()
        for session in found:
            mark = "*" if session["session_id"] == self._session_id else " "
            used = str(session["last_used"])[:16].replace("T", " ")
            click.echo(f"{mark} {session['session_id']:32}  {counted(session['turns'], 'turn'):>9}  {used}")
        if not found:
            say("No sessions yet.")

    def _history(self, rest: str) -> None:
        if self._look(self._session_id) is None:
            say("Nothing was said yet.")
            return
        reader = ItemRenderer()
        shown = console()
        for item in self._client.items(self._session_id):
            passage = reader.read(item)
            shown.print(f"{passage.title}:", style="bold cyan" if passage.title == "User" else "bold", markup=False)
            for part in passage.parts:
                shown.print(wrapped(_line(part)), markup=False, soft_wrap=True)

    def _help(self, rest: str) -> None:
        for name, (_, argument, meaning) in self._commands.items():
            click.echo(f"{f'{name} {argument}':16} {meaning}")
        click.echo("Anything else is a message. Ctrl-C stops waiting for a reply; its turn goes on.")

    def _exit(self, rest: str) -> None:
        self._left = True


def _line(part: Part) -> str:
    text = printable(part.text)
    return f"[{text}]{f' {part.link}' if part.link else ''}" if part.kind is Kind.NOTE else text


def _history_file() -> History:
    """The lines of former chats, for this user's eyes; without a folder for them, those of this chat."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        folder = Path(state).expanduser() / "conversation-gateway"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "chat-history"
        path.touch(mode=0o600)
    except (OSError, RuntimeError):
        return InMemoryHistory()
    return FileHistory(path)
