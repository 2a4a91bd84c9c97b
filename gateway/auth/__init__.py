"""Who calls: every way to authenticate turns a credential into a `Principal`, or raises `UnauthorizedError`."""

from __future__ import annotations

from gateway.auth.principals import ANONYMOUS, Authenticate, Principal, namespace

__all__ = ["ANONYMOUS", "Authenticate", "Principal", "namespace"]
