"""A store of one's own keeps the whole contract, as whoever writes one would find out."""

from pathlib import Path

import pytest

from gateway.testing import SessionManagerContract, StoreAddress


@pytest.mark.slow
class TestOwnStore(SessionManagerContract):
    listed_sessions = 1_000

    @pytest.fixture
    def address(self, tmp_path: Path) -> StoreAddress:
        url = f"folder:{tmp_path / 'sessions'}"
        return StoreAddress(url, opener="examples.own_store:open_folder", frees_dead_processes_at_once=True)
