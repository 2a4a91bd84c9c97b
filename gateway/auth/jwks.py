"""An identity provider's public keys, fetched from where it publishes them and kept through its outages."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import jwt
import orjson
import urllib3

from gateway.auth.tokens import TokenKey, fitting_key
from gateway.errors import ProviderUnavailableError, UnauthorizedError

log = logging.getLogger("gateway.auth")

FRESH_SECONDS = 600.0
"""How long the keys are used before they are asked for again."""

PAUSE_SECONDS = 10.0
"""How long nobody asks again after a try, whatever tokens say: who makes up key ids makes no load."""

MOST_WAITING = 8
"""So many wait at once for keys that are being fetched: those who make up key ids take nobody's place."""

_LARGEST = 1024**2


class PublishedKeys:
    """Finds keys by their id. An id that is not known is looked for once more where the keys are published. Those that
    are known are asked for again on the side: a provider that is silent or away leaves them in use, and holds up nobody
    who has one."""

    def __init__(self, url: str, allowed: Sequence[str] = (), *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._allowed = allowed
        self._clock = clock
        self._http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=3, read=5), retries=False)
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._keys: dict[str | None, TokenKey] | None = None
        self._fresh_until = float("-inf")
        self._next_try = float("-inf")

    def __call__(self, kid: str | None) -> TokenKey:
        found = self._named(kid)
        if found is None:
            return self._looked_for(kid)
        if self._clock() >= max(self._fresh_until, self._next_try) and self._lock.acquire(blocking=False):
            try:
                threading.Thread(target=self._fetch_aside, name="gateway-jwks", daemon=True).start()
            except RuntimeError:  # no thread can be started now
                self._lock.release()
        return found

    def _looked_for(self, kid: str | None) -> TokenKey:
        if not self._waiting.acquire(blocking=False):
            raise ProviderUnavailableError("The identity provider does not answer.", retry_after=1)
        try:
            with self._lock:
                if self._named(kid) is None and self._clock() >= self._next_try:
                    self._fetch()
        finally:
            self._waiting.release()
        if self._keys is None:
            raise ProviderUnavailableError("The identity provider does not answer.", retry_after=PAUSE_SECONDS)
        found = self._named(kid)
        if found is None:
            raise UnauthorizedError("This token is not valid.")
        return found

    def _named(self, kid: str | None) -> TokenKey | None:
        keys = self._keys or {}
        if kid is None:
            # Without a name only an only key is meant.
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(kid)

    def _fetch_aside(self) -> None:
        try:
            self._fetch()
        finally:
            self._lock.release()

    def _fetch(self) -> None:
        """Whoever calls has the lock."""
        now = self._clock()
        self._next_try = now + PAUSE_SECONDS
        try:
            self._keys = self._published()
        except Exception as exc:  # whatever it is: those that are known stay in use
            log.warning("the identity provider's keys could not be fetched (%s)", type(exc).__name__)
        else:
            self._fresh_until = now + FRESH_SECONDS

    def _published(self) -> dict[str | None, TokenKey]:
        answer = self._http.request("GET", self._url, preload_content=False)
        try:
            body = answer.read(_LARGEST + 1)
        finally:
            answer.close()
        if answer.status != 200 or len(body) > _LARGEST:
            raise ValueError("no set of keys")
        found: dict[str | None, TokenKey] = {}
        for key in _parse_keys(orjson.loads(body)):
            if key.public_key_use in (None, "sig") and (fitting := fitting_key(key.key, self._allowed)):
                found[key.key_id] = fitting
        return found


def _parse_keys(published: object) -> Sequence[jwt.PyJWK]:
    keys = published.get("keys") if isinstance(published, dict) else None
    if not isinstance(keys, list):
        raise ValueError("no set of keys")
    # Those that it cannot use are left out; a set without any other is an error.
    return jwt.PyJWKSet([key for key in keys if isinstance(key, dict)]).keys
