"""A conversation as people read it, or as JSON: written out item by item, whatever its length."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import orjson

from gateway.history.rendering import ItemRenderer, Kind, Part
from gateway.model import JSON, Session


def write_markdown(session: Session, items: Iterable[JSON]) -> Iterator[str]:
    yield f"# {session.session_id}\n\n*{_dates(session)}*\n"
    reader = ItemRenderer()
    for item in items:
        passage = reader.read(item)
        parts = "\n\n".join(_markdown(part) for part in passage.parts)
        yield f"\n{'##' if passage.is_message else '###'} {passage.title}\n"
        if parts:
            yield f"\n{parts}\n"


def write_text(session: Session, items: Iterable[JSON]) -> Iterator[str]:
    yield f"{session.session_id}\n{_dates(session)}\n"
    reader = ItemRenderer()
    for item in items:
        passage = reader.read(item)
        yield f"\n{passage.title}:\n"
        for part in passage.parts:
            text = f"[{part.text}]" if part.kind is Kind.NOTE else part.text
            yield f"{text}{f' {part.link}' if part.link else ''}\n"


def write_json(session: Session, items: Iterable[JSON]) -> Iterator[str]:
    """The session, and its items as the provider has them."""
    yield '{"object":"transcript","session":' + orjson.dumps(session.as_dict()).decode() + ',"items":['
    comma = ""
    for item in items:
        yield comma + "\n" + orjson.dumps(item).decode()
        comma = ","
    yield "\n]}\n"


Writer = Callable[[Session, Iterable[JSON]], Iterator[str]]

WRITERS: dict[str, tuple[Writer, str, str]] = {
    "markdown": (write_markdown, "text/markdown; charset=utf-8", "md"),
    "text": (write_text, "text/plain; charset=utf-8", "txt"),
    "json": (write_json, "application/json", "json"),
}
"""Format → how it is written, its media type, its file's ending."""


def file_name(session: Session, ending: str) -> str:
    """The session's id as a file's name on every system: some take no `:` or `|`."""
    return f"{re.sub(r'[^A-Za-z0-9._~@+=,-]', '_', session.session_id)}.{ending}"


def _dates(session: Session) -> str:
    shown = session.as_dict()
    return f"begun {shown['created_at']}, last used {shown['last_used']}"


def _markdown(part: Part) -> str:
    match part.kind:
        case Kind.CODE:
            # A fence that the text itself cannot close.
            longest = max((len(run) for run in re.findall(r"`{3,}", part.text)), default=2)
            fence = "`" * (longest + 1)
            return f"{fence}{part.language}\n{part.text}\n{fence}"
        case Kind.NOTE:
            shown = f"[{part.text}](<{part.link}>)" if part.link else part.text
            return f"*{shown}*"
        case Kind.QUOTE:
            return "\n".join(f"> {line}".rstrip() for line in part.text.splitlines())
        case _:
            return part.text
