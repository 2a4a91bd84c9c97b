"""A store of one's own keeps the whole contract, as whoever writes one would find out."""

from pathlib import Path

import pytest

from gateway.errors import StoreUnavailableError
from gateway.model import SessionKey
from gateway.sessions import Filter
from gateway.testing import SessionManagerContract, StoreAddress
from gateway.testing.contract import make_session


def address_in(folder: Path) -> StoreAddress:
    url = f"folder:{folder / 'sessions'}"
    return StoreAddress(url, opener="examples.own_store:open_folder", frees_dead_processes_at_once=True)


def test_a_file_that_cannot_be_read_costs_its_own_session(tmp_path: Path) -> None:
    with address_in(tmp_path).open() as store:
        make_session(store, SessionKey("", "a"))
        (file,) = (tmp_path / "sessions").glob("*.json")
        make_session(store, SessionKey("", "b"))
        file.write_text("{")
        assert [session.session_id for session in store.list(Filter()).sessions] == ["b"]
        assert store.expire() == 0
        with pytest.raises(StoreUnavailableError):
            store.get(SessionKey("", "a"))


@pytest.mark.slow
class TestOwnStore(SessionManagerContract):
    listed_sessions = 1_000

    @pytest.fixture
    def address(self, tmp_path: Path) -> StoreAddress:
        return address_in(tmp_path)
