"""Tokens of an identity provider (JWT): checked by PyJWT, against keys that fit the algorithm and no others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from gateway.auth.principals import Principal, parse_tenant, parse_user
from gateway.errors import UnauthorizedError
from gateway.model import Role

log = logging.getLogger("gateway.auth")

_FITTING: tuple[tuple[tuple[type, ...], tuple[str, ...]], ...] = (
    ((rsa.RSAPublicKey,), ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    ((ec.EllipticCurvePublicKey,), ("ES256", "ES384", "ES512")),
    ((ed25519.Ed25519PublicKey, ed448.Ed448PublicKey), ("EdDSA",)),
    # Only a secret fits these: a public key never serves as one.
    ((str,), ("HS256",)),
)


class TokenKey(NamedTuple):
    """A key, and the algorithms that a token may name with it."""

    key: Any
    algorithms: Sequence[str]


FindKey = Callable[[str | None], TokenKey]
"""The key that a token's `kid` names (None: it names none), or `UnauthorizedError`."""


def fitting_key(key: Any, allowed: Sequence[str] = ()) -> TokenKey | None:
    """The key with those of the `allowed` algorithms that fit its kind (all of them, when none are named); None when
    there are none."""
    for kinds, names in _FITTING:
        if isinstance(key, kinds):
            if kinds == (str,) and allowed:
                names = tuple(name for name in allowed if name.startswith("HS"))
            fitting = [name for name in names if not allowed or name in allowed]
            return TokenKey(key, fitting) if fitting else None
    return None


def one_key(text: str, allowed: Sequence[str] = ()) -> FindKey:
    """Always this key: a public one in PEM, or a shared secret. `ValueError` when it can be neither."""
    key: Any = text
    if "-----BEGIN" in text:
        try:
            key = serialization.load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise ValueError("a public key in PEM") from exc
    found = fitting_key(key, allowed)
    if found is None:
        raise ValueError("a key that fits GATEWAY_JWT_ALGORITHMS")
    return lambda kid: found


class TokenAuth:
    """Takes tokens that are signed, meant for us, and in time."""

    def __init__(
        self,
        find_key: FindKey,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        leeway_seconds: float = 30.0,
        tenant_claim: str | None = None,
        user_claim: str = "sub",
        role_claim: str | None = None,
    ) -> None:
        self._find_key = find_key
        self._issuer = issuer
        self._audience = audience
        self._leeway_seconds = leeway_seconds
        self._tenant_claim = tenant_claim
        self._user_claim = user_claim
        self._role_claim = role_claim

    def __call__(self, credential: str | None) -> Principal:
        if not credential:
            raise UnauthorizedError("A token is needed: Authorization: Bearer …")
        return self._principal(self._claims(credential))

    def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key, algorithms = self._find_key(kid if isinstance(kid, str) else None)
            # Without an audience of ours a token that is meant for somebody is refused, too.
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(algorithms),
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway_seconds,
                options={"require": ["exp"]},
            )
        except jwt.ExpiredSignatureError as exc:
            raise UnauthorizedError("This token has expired.") from exc
        except (jwt.PyJWTError, ValueError) as exc:
            log.info("a token was refused: %s", type(exc).__name__)
            raise UnauthorizedError("This token is not valid.") from exc
        return claims

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        try:
            # A token without the claim would reach more than one with it, so it reaches nothing.
            tenant = parse_tenant(claims.get(self._tenant_claim)) if self._tenant_claim else ""
            user_id = parse_user(claims.get(self._user_claim))
        except ValueError as exc:
            raise UnauthorizedError("This token does not say whose it is.") from exc
        roles = claims.get(self._role_claim) if self._role_claim else None
        admin = roles == "admin" or (isinstance(roles, list) and "admin" in roles)
        return Principal(f"token:{user_id}", tenant, user_id, Role.ADMIN if admin else Role.USER)
