"""Principals, and the namespace that each has its sessions in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from gateway.model import Role

_TENANT = re.compile(r"[A-Za-z0-9._~:@+=,|-]{1,64}\Z")
_LONGEST = 200  # what the stores' tables have room for


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a tenant's own, or one user of it. `name` is what logs and limits know it by."""

    name: str
    tenant: str = ""
    user_id: str | None = None
    role: Role = Role.USER

    @property
    def namespace(self) -> str:
        return namespace(self.tenant, self.user_id)


ANONYMOUS = Principal("anonymous")
"""Everybody, where there is no auth."""

Authenticate = Callable[[str | None], Principal]
"""The principal of a credential (None: the request has none), or `UnauthorizedError`."""


def namespace(tenant: str, user_id: str | None = None) -> str:
    """What sessions are keyed by: the tenant's own name, or that of one user of it. Different ones are never equal: a
    tenant has no slash, and a user's name is quoted."""
    if user_id is None:
        return tenant
    quoted = quote(user_id, safe=":@+=,|")
    if len(tenant) + 1 + len(quoted) > _LONGEST:
        # A quoted user never begins with a slash.
        quoted = "/" + hashlib.sha256(user_id.encode()).hexdigest()
    return f"{tenant}/{quoted}"


def parse_tenant(value: object) -> str:
    """`value` as the name of a tenant; ValueError with what is allowed."""
    if not isinstance(value, str) or not _TENANT.match(value):
        raise ValueError("1 to 64 characters out of letters, digits and . _ ~ : @ + = , | -")
    return value


def parse_user(value: object) -> str:
    """`value` as a user's id; ValueError with what is allowed."""
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise ValueError("1 to 200 printable characters")
    return value
