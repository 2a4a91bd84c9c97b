"""A session's `data` and `metadata` encrypted at rest (Fernet: AES, and an HMAC over it).

What is sealed carries inside whose it is and which of the two: a token that somebody puts into another session, or
into the other field, does not open. The mapping itself is never sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from gateway.errors import ConfigurationError
from gateway.model import JSON, SessionKey

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_BEGINS = "gAAAA"  # as Fernet's tokens do; no JSON does


class SealedError(ValueError):
    """What is sealed cannot be opened here. Says why, and quotes nothing of it."""


class Sealing:
    """Seals with the first of the keys and opens with any; without keys all is left in plain text."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._fernet: MultiFernet | None = None
        if keys:
            # Only now: it costs memory.
            from cryptography.fernet import Fernet, MultiFernet

            try:
                self._fernet = MultiFernet([Fernet(key) for key in keys])
            except ValueError as exc:
                raise ConfigurationError("An encryption key has 32 bytes in URL-safe base64, as Fernet's do.") from exc

    def seal(self, key: SessionKey, name: str, value: JSON) -> str:
        """The text that a store keeps of the session's field `name`: one for equal values, unless it is encrypted."""
        if self._fernet is None or not value:
            return orjson.dumps(value).decode()
        return self._fernet.encrypt(orjson.dumps([*key, name, value])).decode()

    def unseal(self, key: SessionKey, name: str, text: str) -> JSON:
        """The value in that text, encrypted or not. `SealedError` when it does not open, ValueError when it is none."""
        if not is_sealed(text):
            value = orjson.loads(text)
            if not isinstance(value, dict):
                raise ValueError("not a JSON object")
            return value
        if self._fernet is None:
            raise SealedError("is encrypted, and there is no key to read it (GATEWAY_ENCRYPTION_KEY)")
        from cryptography.fernet import InvalidToken

        try:
            *whose, value = orjson.loads(self._fernet.decrypt(text))
        except (InvalidToken, ValueError) as exc:
            raise SealedError("is encrypted with another key, or damaged (GATEWAY_ENCRYPTION_KEY)") from exc
        if whose != [*key, name]:
            raise SealedError("was encrypted for another session, or another field of it")
        sealed: JSON = value
        return sealed


def is_sealed(text: str) -> bool:
    return text.startswith(_BEGINS)
