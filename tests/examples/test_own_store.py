"""A store of one's own keeps the whole contract, as whoever writes one would find out."""

from pathlib import Path
from typing import Any

import pytest

from examples.own_store import open_folder
from gateway.sessions import SessionManager, Terms
from gateway.testing import SessionManagerContract, StoreAddress


def open_own(url: str, **options: Any) -> SessionManager:
    prefix = options.pop("prefix")
    terms = {name: options.pop(name) for name in ("lease_seconds", "erase_expired", "clock") if name in options}
    return SessionManager(open_folder(url, prefix=prefix, terms=Terms(**terms)), **options)


@pytest.mark.slow
class TestOwnStore(SessionManagerContract):
    listed_sessions = 1_000

    @pytest.fixture
    def address(self, tmp_path: Path) -> StoreAddress:
        return StoreAddress(
            f"folder:{tmp_path / 'sessions'}", opener=f"{__name__}:open_own", frees_dead_processes_at_once=True
        )
