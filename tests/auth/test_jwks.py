"""The identity provider's keys: fetched from a real server, kept through its outage, found when they change."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.auth.jwks import FRESH_SECONDS, MOST_WAITING, PAUSE_SECONDS, PublishedKeys
from gateway.auth.tokens import TokenAuth
from gateway.errors import ProviderUnavailableError, UnauthorizedError
from tests.auth.test_tokens import claims
from tests.harness.support import eventually

ONE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
TWO = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def published(kid: str | None, key: rsa.RSAPrivateKey, **more: object) -> dict[str, Any]:
    encoded = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {**encoded, **({"kid": kid} if kid else {}), **more}


def token(kid: str | None, key: rsa.RSAPrivateKey) -> str:
    return jwt.encode(claims(), key, "RS256", headers={"kid": kid} if kid else None)


class IdentityProvider:
    """Publishes keys on a port of this host, and counts who asks."""

    def __init__(self) -> None:
        self.keys: list[object] = [published("one", ONE)]
        self.status = 200
        self.asked = 0
        self.silent = threading.Event()
        """Cleared while it does not answer."""
        self.silent.set()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                provider.silent.wait(30)
                body = json.dumps({"keys": provider.keys}).encode()
                self.send_response(provider.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Keeps the test's output readable."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.silent.set()
        self.server.shutdown()
        self.server.server_close()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    started = IdentityProvider()
    yield started
    started.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def auth(provider: IdentityProvider, clock: Clock) -> TokenAuth:
    keys = PublishedKeys(provider.url, clock=clock)
    return TokenAuth(keys, issuer="https://idp.test/", audience="gateway")


def test_keys_are_fetched_once_for_many_tokens(auth: TokenAuth, provider: IdentityProvider) -> None:
    for _ in range(5):
        assert auth(token("one", ONE)).user_id == "ann"
    assert provider.asked == 1


def test_a_new_key_is_found_at_its_first_token(auth: TokenAuth, provider: IdentityProvider, clock: Clock) -> None:
    assert auth(token("one", ONE)).user_id == "ann"
    provider.keys.append(published("two", TWO))
    clock.now += PAUSE_SECONDS
    assert auth(token("two", TWO)).user_id == "ann"
    assert provider.asked == 2


def test_made_up_key_ids_make_no_load(auth: TokenAuth, provider: IdentityProvider, clock: Clock) -> None:
    auth(token("one", ONE))
    clock.now += PAUSE_SECONDS
    for number in range(20):
        with pytest.raises(UnauthorizedError):
            auth(token(f"made-up-{number}", TWO))
    assert provider.asked == 2


def test_a_key_that_is_published_no_more_opens_nothing(
    auth: TokenAuth, provider: IdentityProvider, clock: Clock
) -> None:
    auth(token("one", ONE))
    provider.keys = [published("two", TWO)]
    clock.now += FRESH_SECONDS
    eventually(lambda: is_refused(auth, token("one", ONE)))


@pytest.mark.parametrize("outage", ["down", "error", "nonsense"])
def test_an_outage_leaves_the_known_keys_in_use(
    auth: TokenAuth, provider: IdentityProvider, clock: Clock, outage: str
) -> None:
    auth(token("one", ONE))
    if outage == "down":
        provider.close()
    provider.status = 500 if outage == "error" else 200
    provider.keys = [5, "x", {"kty": "RSA"}]
    clock.now += FRESH_SECONDS + 1
    assert auth(token("one", ONE)).user_id == "ann"


def test_without_any_keys_nobody_can_tell(auth: TokenAuth, provider: IdentityProvider, clock: Clock) -> None:
    provider.status = 503
    for _ in range(3):
        with pytest.raises(ProviderUnavailableError):
            auth(token("one", ONE))
    assert provider.asked == 1
    provider.status = 200
    clock.now += PAUSE_SECONDS
    assert auth(token("one", ONE)).user_id == "ann"


def test_a_token_that_names_no_key_means_the_only_one(
    auth: TokenAuth, provider: IdentityProvider, clock: Clock
) -> None:
    assert auth(token(None, ONE)).user_id == "ann"
    provider.keys.append(published("two", TWO))
    clock.now += FRESH_SECONDS
    eventually(lambda: is_refused(auth, token(None, ONE)))


def is_refused(auth: TokenAuth, credential: str) -> bool:
    try:
        auth(credential)
    except UnauthorizedError:
        return True
    return False


def test_a_silent_provider_holds_up_nobody_whose_key_is_known(
    auth: TokenAuth, provider: IdentityProvider, clock: Clock
) -> None:
    auth(token("one", ONE))
    provider.silent.clear()
    clock.now += FRESH_SECONDS
    for _ in range(5):
        assert auth(token("one", ONE)).user_id == "ann"
    eventually(lambda: provider.asked == 2)
    # Somebody is asking already, and it may take long.
    with ThreadPoolExecutor(40) as pool:
        strangers = [pool.submit(is_refused, auth, token(f"made-up-{number}", TWO)) for number in range(40)]
        eventually(lambda: sum(each.done() for each in strangers) == 40 - MOST_WAITING)
        for _ in range(5):
            assert auth(token("one", ONE)).user_id == "ann"
        assert provider.asked == 2
        provider.silent.set()
    assert sum(isinstance(each.exception(), ProviderUnavailableError) for each in strangers) == 40 - MOST_WAITING


@pytest.mark.parametrize(
    "unfit",
    [
        {"kty": "oct", "kid": "one", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256"},
        published("one", ONE, use="enc"),
    ],
    ids=["secret", "for encryption"],
)
def test_keys_for_other_things_open_nothing(auth: TokenAuth, provider: IdentityProvider, unfit: object) -> None:
    provider.keys = [unfit, published("two", TWO)]
    with pytest.raises(UnauthorizedError):
        auth(token("one", ONE))
    with pytest.raises(UnauthorizedError):
        auth(jwt.encode(claims(), "secret-secret-secret-secret-secret", "HS256", headers={"kid": "one"}))
    assert auth(token("two", TWO)).user_id == "ann"
