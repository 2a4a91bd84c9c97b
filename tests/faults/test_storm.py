"""A short storm on each kind of networked store. `python3 dev.py soak` makes long ones."""

from tests.harness.servers import Postgres, Valkey
from tests.soak.checker import check
from tests.soak.history import History
from tests.soak.storm import storm

SECONDS = 4
SEED = 213


def test_valkey_comes_through_a_storm() -> None:
    with Valkey(durable=True) as server:
        history = storm(server, server.url(), seconds=SECONDS, seed=SEED)
    assert_well(history)


def test_postgresql_comes_through_a_storm() -> None:
    with Postgres() as server:
        history = storm(server, server.database("storm"), seconds=SECONDS, seed=SEED)
    assert_well(history)


def assert_well(history: History) -> None:
    assert check(history) == []
    # And it was a storm.
    assert history.disturbances
    assert history.faults
    assert any(message.acknowledged is not None for message in history.messages)
