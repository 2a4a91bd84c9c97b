"""The key that a provider is asked with, and how it is kept out of what the provider says."""

from __future__ import annotations

from collections.abc import Callable


def hiding(key: str | None) -> Callable[[bytes], bytes]:
    """Takes the key out of an answer's bytes. A server that wants no key is given some word, which is no secret."""
    if not key or not (key.startswith("sk-") or len(key) >= 8):
        return lambda content: content
    secret = key.encode()
    return lambda content: content.replace(secret, b"(hidden)") if secret in content else content
