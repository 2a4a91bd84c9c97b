"""A store of one's own keeps the contract, as whoever writes one would find out."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from examples.own_store import open_dict
from gateway.sessions import SessionManager, Terms
from gateway.testing import OneProcessContract
from gateway.testing.contract import OpenStore


class TestOwnStore(OneProcessContract):
    @pytest.fixture
    def open_store(self) -> Iterator[OpenStore]:
        store = None

        def open_again(**options: Any) -> SessionManager:
            nonlocal store
            terms = {name: options.pop(name) for name in ("lease_seconds", "erase_expired", "clock") if name in options}
            store = store or open_dict("dict:", prefix="", terms=Terms(**terms))
            return stack.enter_context(SessionManager(store, **{"queue_limit": 1000, **options}))

        with ExitStack() as stack:
            yield open_again
