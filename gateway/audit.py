"""The lines about security: who did what to whom, never what was said.

One JSON object a line on the logger `gateway.audit`: the log's own place, or the file of GATEWAY_AUDIT_LOG.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import orjson

from gateway.errors import ConfigurationError

log = logging.getLogger("gateway.audit")


def audit(act: str, *, principal: str, request_id: str | None = None, outcome: str = "done", **target: object) -> None:
    """Writes that `principal` did `act` to `target`, or tried to."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "audit": act,
        "outcome": outcome,
        "principal": principal,
        "request_id": request_id,
        **target,
    }
    log.info("%s", orjson.dumps(line).decode())


def write_to(place: str | TextIO | None) -> None:
    """From now on the lines go to this file, which only its owner can read, or to this stream; None leaves them with
    the log."""
    log.setLevel(logging.INFO)
    if place is None:
        return
    handler: logging.Handler
    if isinstance(place, str):
        try:
            Path(place).touch(mode=0o600)
            Path(place).open("a").close()
        except OSError as exc:
            raise ConfigurationError(
                f"GATEWAY_AUDIT_LOG={place!r} cannot be used: it takes the path of a file that can be written "
                f"({exc.strerror or type(exc).__name__})."
            ) from exc
        handler = logging.FileHandler(place, delay=True)
    else:
        handler = logging.StreamHandler(place)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for old in log.handlers:
        log.removeHandler(old)
    log.addHandler(handler)
    log.propagate = False
