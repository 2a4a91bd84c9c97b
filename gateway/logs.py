"""The log: a line for every request and every turn, and whatever else an operator has to know.

On a terminal for the eye; elsewhere one JSON object a line. Ids, names, counts and times are in it, never a text of a
conversation, a key, or an address with a password.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from contextvars import ContextVar
from typing import Any, TextIO

import orjson

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that is being served, for every line that is written meanwhile."""


def event(logger: logging.Logger, message: str, **fields: object) -> None:
    """One line about something that happened. What is None is left out."""
    if logger.isEnabledFor(logging.INFO):
        # Made here, without a look for the line of code: that would cost more than all the rest.
        record = logging.LogRecord(logger.name, logging.INFO, "", 0, message, None, None)
        record.__dict__["fields"] = {name: value for name, value in fields.items() if value is not None}
        logger.handle(record)


def milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


class JSONFormatter(logging.Formatter):
    """One object a line. Of an exception it tells the kind and the place: its own words may quote a conversation."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{_moment(record, '%Y-%m-%dT%H:%M:%S', time.gmtime)}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _places(record.exc_info[1])
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # text that is no Unicode
            return json.dumps(line, default=str)


class TerminalFormatter(logging.Formatter):
    """For the eye: when, what, and the rest in grey."""

    _COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31;1m"}  # noqa: RUF012
    _GREY, _PLAIN = "\x1b[90m", "\x1b[0m"
    _SAID = frozenset({"outcome", "method", "route", "status"})  # by the message

    def format(self, record: logging.LogRecord) -> str:
        moment = _moment(record, "%H:%M:%S", time.localtime)
        rest = "".join(f"  {name}={value}" for name, value in _fields(record).items() if name not in self._SAID)
        colour = self._COLOURS.get(record.levelname, "")
        words = f"{colour}{record.getMessage()}{self._PLAIN if colour else ''}"
        text = f"{self._GREY}{moment} {record.name:16}{self._PLAIN} {words}{self._GREY}{rest}{self._PLAIN}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def formatter(stream: TextIO) -> logging.Formatter:
    return TerminalFormatter() if stream.isatty() else JSONFormatter()


def install(stream: TextIO = sys.stderr) -> None:
    """From now on everything that this process logs goes to `stream`: ours from INFO on, and of the libraries, which
    may name addresses and quote what they send, warnings only."""
    # What no line of ours shows need not be looked up.
    logging.logThreads = logging.logMultiprocessing = False
    _write("", stream, logging.WARNING, formatter(stream))
    _write("gateway", stream, logging.INFO, formatter(stream))
    # What is written for an audit is such an object already.
    _write("gateway.audit", stream, logging.INFO, formatter(stream) if stream.isatty() else logging.Formatter())
    logging.captureWarnings(True)
    threading.excepthook = _thread_died


def _write(name: str, stream: TextIO, level: int, form: logging.Formatter) -> None:
    handler = logging.StreamHandler(stream)
    # A library may have been told to say more, its logger then has a level of its own.
    handler.setLevel(level)
    handler.setFormatter(form)
    logger = logging.getLogger(name)
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level)


def _thread_died(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        error = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger("gateway").error("a thread failed in a way that it should not", exc_info=error)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    current = request_id.get()
    return {**({"request_id": current} if current else {}), **getattr(record, "fields", {})}


def _moment(record: logging.LogRecord, form: str, clock: Any) -> str:
    return f"{time.strftime(form, clock(record.created))}.{int(record.msecs):03d}"


def _places(error: BaseException | None) -> list[str]:
    """What was raised where, the first cause last: no words of any exception."""
    found: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        kind = type(error)
        found.append(f"{kind.__module__}.{kind.__qualname__}")
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            found.append(f"  {code.co_filename}:{trace.tb_lineno} in {code.co_name}")
            trace = trace.tb_next
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found
