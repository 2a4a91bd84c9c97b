"""The tests' provider, with a journal of what was asked of it and by whom: each gateway brings a key of its own.

python -m tests.soak.provider --port PORT --db PATH --journal PATH
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from gateway.providers.local import LocalProvider
from tests.harness.upstream import UpstreamProcess, create_upstream
from tests.harness.upstream_http import WSGIServer, is_gone
from tests.soak.history import Asked, Item, Made

JSON = dict[str, Any]


class Journal:
    """WSGI middleware that writes a line for each response asked for and each conversation made."""

    def __init__(self, provider: LocalProvider, path: Path) -> None:
        self._app = create_upstream(provider)
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()
        self._call = threading.local()
        self._create = provider.service.create_conversation
        provider.service.create_conversation = self._create_and_keep

    def __call__(self, environ: JSON, start_response: Any) -> Iterable[bytes]:
        call = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if call == ("POST", "/v1/responses"):
            return self._asked(environ, start_response)
        if call == ("POST", "/v1/conversations"):
            return self._made(environ, start_response)
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

    def _asked(self, environ: JSON, start_response: Any) -> Iterator[bytes]:
        body = orjson.loads(environ["wsgi.input"].getbuffer())
        line = {"asked": body["conversation"], "by": _caller(environ), "begun": time.monotonic(), "whole": False}
        try:
            yield from self._app(environ, start_response)
            line["whole"] = True
        finally:
            self._write({**line, "ended": time.monotonic()})

    def _made(self, environ: JSON, start_response: Any) -> Iterable[bytes]:
        self._call.made = None
        answered = False
        try:
            answer: Iterable[bytes] = self._app(environ, start_response)
            answered = not is_gone(environ["upstream.connection"])
            return answer
        finally:
            if (made := self._call.made) is not None:
                line = {"made": made["id"], "marks": made["metadata"], "answered": answered}
                self._write({**line, "by": _caller(environ), "at": time.monotonic()})

    def _create_and_keep(self, body: JSON) -> JSON:
        made = self._call.made = self._create(body)
        return made

    def _write(self, line: JSON) -> None:
        with self._lock:
            self._file.write(orjson.dumps(line) + b"\n")


def _caller(environ: JSON) -> str:
    return str(environ.get("HTTP_AUTHORIZATION", "")).removeprefix("Bearer ")


class JournalledProvider(UpstreamProcess):
    """The provider in a process of its own; what it saw and kept is read from its files."""

    def command(self) -> list[str | Path]:
        options = ["--port", str(self.port), "--db", str(self.database), "--journal", str(self._journal)]
        return [sys.executable, "-m", "tests.soak.provider", *options]

    @property
    def _journal(self) -> Path:
        return self.folder / "journal"

    def asked(self) -> list[Asked]:
        """The responses that gateways asked for."""
        return [
            Asked(line["by"], line["asked"], line["begun"], line["ended"], hung_up=not line["whole"])
            for line in self._lines()
            if "asked" in line
        ]

    def made(self) -> list[Made]:
        """The conversations that gateways made."""
        return [
            Made(
                line["by"],
                line["made"],
                line["marks"]["gateway_session"],
                int(line["marks"]["gateway_generation"]),
                line["at"],
                answered=line["answered"],
            )
            for line in self._lines()
            if "made" in line
        ]

    def conversations(self) -> dict[str, list[Item]]:
        """Every conversation that is there, with its items in their order."""
        with closing(sqlite3.connect(self.database)) as database:
            found: dict[str, list[Item]] = {
                name: [] for (name,) in database.execute("SELECT conversation_id FROM local_conversations")
            }
            rows = database.execute("SELECT owner_id, sequence, body FROM local_items ORDER BY sequence")
            for owner, sequence, body in rows:
                item = orjson.loads(body)
                if owner in found and item["type"] == "message":
                    text = "".join(part.get("text", "") for part in item["content"])
                    found[owner].append(Item(sequence, item["id"], item["role"], text))
        return found

    def _lines(self) -> Iterator[JSON]:
        with self._journal.open("rb") as lines:
            yield from map(orjson.loads, lines)


def main() -> None:
    options = argparse.ArgumentParser(prog="tests.soak.provider")
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--db", required=True)
    options.add_argument("--journal", type=Path, required=True)
    given = options.parse_args()
    WSGIServer(Journal(LocalProvider(given.db), given.journal), given.port).serve_forever()


if __name__ == "__main__":
    main()
