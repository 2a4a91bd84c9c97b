"""Tokens: taken when they are signed by the right key, meant for us and in time, and by no trick else."""

import base64
import hashlib
import hmac
import itertools
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.auth.principals import Principal
from gateway.auth.tokens import TokenAuth, one_key
from gateway.errors import UnauthorizedError
from gateway.model import Role

SECRET = "a secret that is long enough for anybody, whatever the algorithm that is asked for"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any) -> str:
    encoded: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded.decode()


def claims(**changes: object) -> dict[str, object]:
    whole = {"sub": "ann", "exp": int(time.time()) + 600, "iss": "https://idp.test/", "aud": "gateway", **changes}
    return {name: value for name, value in whole.items() if value is not None}


def signed(key: Any = RSA_KEY, algorithm: str = "RS256", **changes: object) -> str:
    return jwt.encode(claims(**changes), key, algorithm)


def auth(key: str = pem(RSA_KEY), **options: Any) -> TokenAuth:
    named = {"issuer": "https://idp.test/", "audience": "gateway", **options}
    return TokenAuth(one_key(key, named.pop("allowed", ())), **named)


@pytest.mark.parametrize(
    ("public", "private", "algorithm"),
    [
        (pem(RSA_KEY), RSA_KEY, "RS256"),
        (pem(RSA_KEY), RSA_KEY, "PS512"),
        (pem(EC_KEY), EC_KEY, "ES256"),
        (SECRET, SECRET, "HS256"),
    ],
    ids=["RS256", "PS512", "ES256", "HS256"],
)
def test_a_token_says_whose_it_is(public: str, private: Any, algorithm: str) -> None:
    assert auth(public)(signed(private, algorithm)) == Principal("token:ann", "", "ann")


def test_tenant_user_and_role_come_from_the_claims_that_are_named() -> None:
    read = auth(tenant_claim="org", user_claim="email", role_claim="roles")
    token = signed(org="acme", email="ann@acme.test", roles=["staff", "admin"])
    assert read(token) == Principal("token:ann@acme.test", "acme", "ann@acme.test", Role.ADMIN)
    for roles in (None, [], "staff", "administrator", ["Admin"], {"admin": True}, 1):
        assert read(signed(org="acme", email="x", roles=roles)).role is Role.USER


@pytest.mark.parametrize(
    "changes", [{"org": None}, {"org": "a/b"}, {"org": 5}, {"sub": None}, {"sub": ""}, {"sub": "\ud800"}]
)
def test_a_token_that_does_not_say_whose_it_is_opens_nothing(changes: dict[str, object]) -> None:
    with pytest.raises(UnauthorizedError):
        auth(tenant_claim="org")(signed(**{"org": "acme", **changes}))


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "x",
        "a.b.c",
        signed(OTHER_KEY),
        signed(iss="https://evil.test/"),
        signed(iss=None),
        signed(aud="another"),
        signed(aud=None),
        signed(exp=None),
        signed(nbf=int(time.time()) + 600),
        jwt.encode(claims(), None, "none"),
        signed()[:-4],
        signed() + "x",
    ],
    ids=itertools.count(),
)
def test_a_token_that_is_not_right_opens_nothing(token: str | None) -> None:
    with pytest.raises(UnauthorizedError):
        auth()(token)


def test_a_token_ends_and_clocks_may_differ_a_little() -> None:
    late = signed(exp=int(time.time()) - 60)
    with pytest.raises(UnauthorizedError, match="expired"):
        auth(leeway_seconds=30)(late)
    assert auth(leeway_seconds=90)(late).user_id == "ann"


def test_without_an_audience_of_ours_a_token_for_somebody_is_refused() -> None:
    with pytest.raises(UnauthorizedError):
        auth(audience=None)(signed())
    assert auth(audience=None)(signed(aud=None)).user_id == "ann"


def test_a_public_key_is_never_a_secret() -> None:
    """The classic: an HMAC made with the public key, which everybody has."""

    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    head = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(claims())
    for secret in (pem(RSA_KEY), pem(RSA_KEY).strip()):
        mark = hmac.new(secret.encode(), head, hashlib.sha256).digest()
        token = (head + b"." + base64.urlsafe_b64encode(mark).rstrip(b"=")).decode()
        with pytest.raises(UnauthorizedError):
            auth()(token)


def test_only_the_algorithms_that_are_allowed_are_taken() -> None:
    assert auth(allowed=["RS512"])(signed(algorithm="RS512")).user_id == "ann"
    with pytest.raises(UnauthorizedError):
        auth(allowed=["RS512"])(signed(algorithm="RS256"))
    assert auth(SECRET, allowed=["HS512"])(signed(SECRET, "HS512")).user_id == "ann"
    with pytest.raises(UnauthorizedError):
        auth(SECRET)(signed(SECRET, "HS512"))


@pytest.mark.parametrize(
    "key", ["-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----"]
)
def test_a_key_that_is_none_is_refused_at_the_start(key: str) -> None:
    with pytest.raises(ValueError, match="PEM"):
        one_key(key)
    with pytest.raises(ValueError, match="fits"):
        one_key(pem(RSA_KEY), ["ES256"])
