"""API keys: `gw_NAME_SECRET`. The store has the secret's hash only, and is asked at every request: a revoked key opens
nothing from then on, in any process."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

from gateway.auth.principals import Principal
from gateway.errors import UnauthorizedError
from gateway.model import ApiKey

NAME = re.compile(r"[A-Za-z0-9.-]{1,64}\Z")
_KEY = re.compile(r"gw_([A-Za-z0-9.-]{1,64})_([A-Za-z0-9_-]{43})\Z")
_NOBODY = "0" * 64


def new_key(name: str) -> tuple[str, str]:
    """A key of this name, to be shown once, and the digest to be kept. `ValueError` for a name that is none."""
    if not NAME.match(name):
        raise ValueError("1 to 64 letters, digits, dots and hyphens")
    secret = secrets.token_urlsafe(32)
    return f"gw_{name}_{secret}", _digest(secret)


class KeyAuth:
    """Asks `find` for the key of a name."""

    def __init__(self, find: Callable[[str], ApiKey | None]) -> None:
        self._find = find

    def __call__(self, credential: str | None) -> Principal:
        parts = _KEY.match(credential or "")
        if parts is None:
            raise UnauthorizedError("A key is needed: Authorization: Bearer gw_…")
        found = self._find(parts[1])
        # A name that is not there costs and answers the same as a wrong secret.
        if not hmac.compare_digest(_digest(parts[2]), found.digest if found else _NOBODY) or found is None:
            raise UnauthorizedError("This key is not valid.")
        return Principal(f"key:{found.name}", found.tenant, found.user_id, found.role)


def _digest(secret: str) -> str:
    # The secret has 256 random bits: there is nothing for a slow hash to slow down.
    return hashlib.sha256(secret.encode()).hexdigest()
