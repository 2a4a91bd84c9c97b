"""The Lua scripts: each in a file of its own, whose first lines name what it is called with.

    -- after: session                          the preludes that stand before it
    -- keys: target target_lock                the keys that it is given, as local names
    -- args: user_id revision:number put:list  the arguments: a text, or what the colon says

A call gives exactly these by name, and the script has them as locals; one that comes after a prelude takes what that
one names, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

Command = tuple[Any, ...]

_FILES = resources.files("gateway.sessions.redis") / "scripts"

_READERS = """
local argument = 0
local function as_text() argument = argument + 1 return ARGV[argument] end
local function as_number() return tonumber(as_text()) end
local function as_flag() return as_text() == '1' end
local function as_list()
  local items = {}
  for i = 1, as_number() do items[i] = as_text() end
  return items
end
"""
_KINDS = ("text", "number", "flag", "list")


class Script:
    """A script with all that stands before it."""

    def __init__(self, name: str) -> None:
        self.name = name
        parts = _collect(name).values()
        self._keys = [key for header, _ in parts for key in header.get("keys", "").split()]
        words = [word.partition(":") for header, _ in parts for word in header.get("args", "").split()]
        self._args = {arg: kind or "text" for arg, _, kind in words}
        assert set(self._args.values()) <= set(_KINDS), f"{name}.lua has an argument of no known kind"
        lines = [f"local {key} = KEYS[{number}]" for number, key in enumerate(self._keys, 1)]
        lines += [f"local {arg} = as_{kind}()" for arg, kind in self._args.items()]
        self.text = "\n".join([_READERS, *lines, *(text for _, text in parts)])
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def command(self, keys: Mapping[str, str], args: Mapping[str, Any]) -> Command:
        """The command that runs it."""
        if len(keys) != len(self._keys) or len(args) != len(self._args):
            raise self._misnamed(keys, args)
        try:
            command: list[Any] = ["EVALSHA", self.digest, len(self._keys), *[keys[key] for key in self._keys]]
            for arg, kind in self._args.items():
                value = args[arg]
                if kind == "list":
                    command += (len(value), *value)
                else:
                    command.append("" if value is None else int(value) if kind == "flag" else value)
        except KeyError:
            raise self._misnamed(keys, args) from None
        return tuple(command)

    def _misnamed(self, keys: Mapping[str, str], args: Mapping[str, Any]) -> TypeError:
        asked, given = {*self._keys, *self._args}, {*keys, *args}
        return TypeError(f"{self.name}.lua is called with {sorted(asked)}, not with {sorted(given)}")


@cache
def load_scripts() -> Mapping[str, Script]:
    """All of them by name; the preludes are none by themselves."""
    names = [file.name.removesuffix(".lua") for file in _FILES.iterdir() if file.name.endswith(".lua")]
    preludes = {prelude for name in names for prelude in _read(name)[0].get("after", "").split()}
    return {name: Script(name) for name in names if name not in preludes}


def _collect(name: str) -> dict[str, tuple[Mapping[str, str], str]]:
    """The header and the text of the script, behind those of its preludes, each once."""
    header, text = _read(name)
    parts: dict[str, tuple[Mapping[str, str], str]] = {}
    for prelude in header.get("after", "").split():
        parts |= _collect(prelude)
    return {**parts, name: (header, text)}


@cache
def _read(name: str) -> tuple[Mapping[str, str], str]:
    text = (_FILES / f"{name}.lua").read_text(encoding="utf-8")
    header: dict[str, str] = {}
    for line in text.splitlines():
        word, colon, names = line.removeprefix("-- ").partition(":")
        if not line.startswith("-- ") or not colon or word not in ("after", "keys", "args"):
            break
        header[word] = names.strip()
    return header, text
