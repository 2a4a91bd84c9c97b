"""Which layout the keys under a prefix have: written by whoever opens it first, and checked by all who come after."""

from __future__ import annotations

import re

VERSION = 2
"""The layout that is written here."""

READABLE_FROM = 2
"""The oldest layout whose gateways can work on what is written here."""

OLDEST = 2
"""The oldest layout that this gateway can work on."""

STATEMENT = f"{VERSION} readable_from {READABLE_FROM}"


def explain_layout(found: str) -> str | None:
    """Why what somebody else wrote there cannot be worked on, in one line."""
    stated = re.fullmatch(r"(\d+) readable_from (\d+)", found)
    if stated is None:
        return f"This Redis says of its sessions what is not understood: {found!r}."
    version, readable_from = int(stated[1]), int(stated[2])
    if version < OLDEST:
        return (
            f"This Redis holds sessions of version {version}, and this gateway works on those from {OLDEST} on: export "
            "them with the old one, and import them under another prefix."
        )
    if readable_from > VERSION:
        return f"This Redis holds sessions of version {version}, and this gateway knows {VERSION}."
    return None
