"""How the values of settings are read, and shown: each parser raises ValueError with what is allowed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Parser = Callable[[str], Any]


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_LONGEST_SECONDS = 100 * 365 * 86400.0
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?", re.IGNORECASE)
_BYTES = {"b": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3}


def parse_duration(value: str) -> float:
    """Seconds, from `90`, `500ms`, `30m`, `12h` or `7d`."""
    found = _DURATION.fullmatch(value.strip())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else math.inf
    if seconds > _LONGEST_SECONDS:
        raise ValueError("a duration such as 90, 500ms, 30m, 12h or 7d")
    return seconds


def parse_positive_duration(value: str) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("a duration above zero, such as 30s, 30m or 7d")
    return seconds


def parse_lease(value: str) -> float:
    seconds = parse_duration(value)
    if not 1 <= seconds <= 3600:
        raise ValueError("a duration from 1s to 1h")
    return seconds


def parse_lifetime(value: str) -> float:
    """A duration, or infinity for `never` (left out, it is the store's own default)."""
    if value.strip().lower() == "never":
        return math.inf
    try:
        return parse_positive_duration(value)
    except ValueError:
        raise ValueError("never, or a duration above zero, such as 30m, 12h or 7d") from None


def parse_size(value: str) -> int:
    """Bytes, from `1048576`, `512KiB` or `1MiB`."""
    found = _SIZE.fullmatch(value.strip())
    if not found or int(found[1]) == 0:
        raise ValueError("a size such as 65536, 512KiB or 1MiB")
    return int(found[1]) * _BYTES[(found[2] or "B").lower()]


def parse_flag(value: str) -> bool:
    word = value.strip().lower()
    if word not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise ValueError("true or false")
    return word in ("true", "1", "yes", "on")


def parse_text(value: str) -> str:
    """The words themselves, or those of the file in `@path`."""
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ValueError(f"a text, or @path of a file that can be read ({type(exc).__name__})") from exc


def parse_prefix(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,31}", value):
        raise ValueError("1 to 32 letters, digits and underscores, beginning with a letter")
    return value


def parse_http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not re.fullmatch(r"\S+", value):
        raise ValueError("a URL that begins with http:// or https://, and names a host")
    return value.rstrip("/")


def parse_api_key(value: str) -> str:
    """What can be sent in a header."""
    if not re.fullmatch(r"[\x21-\x7e]+", value.strip()):
        raise ValueError("a key of visible ASCII characters")
    return value.strip()


def parse_tools(value: str) -> list[dict[str, Any]]:
    """A JSON list of the Responses API's tools, or `@path` of a file with one."""
    try:
        tools = json.loads(parse_text(value))
    except json.JSONDecodeError:
        tools = None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) and "type" in tool for tool in tools):
        raise ValueError('a JSON list of tools, each an object with a "type", or @path of a file with one')
    return tools


_ALGORITHMS = frozenset(f"{family}{size}" for family in ("HS", "RS", "PS", "ES") for size in (256, 384, 512)) | {
    "EdDSA"
}


def parse_algorithms(value: str) -> list[str]:
    words = [word.strip() for word in value.split(",")]
    if not set(words) <= _ALGORITHMS:
        raise ValueError(f"one or more of {', '.join(sorted(_ALGORITHMS))}, with commas between them")
    return words


def parse_fernet_keys(value: str) -> list[str]:
    """Keys as Fernet makes them: 32 bytes in URL-safe base64. The first encrypts, all of them decrypt."""
    keys = [key.strip() for key in value.split(",")]
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{43}=", key) for key in keys):
        raise ValueError("one Fernet key (32 bytes in URL-safe base64), or several with commas, the newest first")
    return keys


def parse_rate(value: str) -> str:
    """Such as `60/minute`, as `limits` reads it."""
    if not re.fullmatch(r"[1-9]\d{0,8}\s*(?:/|per)\s*(?:[1-9]\d{0,5}\s*)?(?:second|minute|hour|day)s?", value.strip()):
        raise ValueError("a number and a time, such as 60/minute, 10/second or 1000/hour")
    return value.strip()


def one_of(*words: str) -> Parser:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0])
        return value

    return parse


def whole(low: int, high: int) -> Parser:
    def parse(value: str) -> int:
        if not re.fullmatch(r"\d+", value.strip()) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def shown_url(url: str) -> str:
    """A URL without the user, the password and the options that may be in it."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    credentials, at, place = rest.rpartition("@")
    if "?" in credentials or (at and "?" in rest and rest.index("?") < rest.rindex("@")):
        # An option with an @ in it, or a password with a question mark: only the scheme is surely no secret.
        return f"{scheme}://…"
    return f"{scheme}://{place.partition('?')[0]}"
