"""Mappings that were made elsewhere: written whole, and never over another one unasked."""

from __future__ import annotations

from dataclasses import replace

from gateway.model import Session, SessionKey, Status
from gateway.sessions.manager import SessionManager
from gateway.sessions.merging import Merge
from gateway.sessions.values import Filter
from gateway.testing.contract import KEY, OpenStore, SharedStoreContract, StoreContract, Workers, make_session, run_turn
from gateway.testing.remote import RemoteStore, StoreAddress
from gateway.testing.waiting import Clock

DAY_MS = 86_400_000
MANY = 300


def foreign(store: SessionManager, number: int = 1) -> Session:
    """A mapping as another store had it, with nothing left at its default."""
    used = store.now() - number * 1000
    return Session(
        tenant="acme" if number % 3 == 0 else "",
        session_id=f"moved_{number}",
        conversation_id=f"conv_{number}",
        created_at=used - 7 * DAY_MS,
        last_used=used,
        expires_at=used + 30 * DAY_MS,
        status=Status.COMPLETED if number % 2 else Status.ABANDONED,
        user_id="zoë@example.com" if number % 5 else None,
        data={"step": number, "deep": {"list": [1, None, "🏋"]}},
        metadata={"plan": "beginner"},
        generation=3,
        turns=17,
    )


class PuttingContract(StoreContract):
    def test_what_is_put_keeps_every_field_and_is_listed(self, store: SessionManager) -> None:
        moved = [foreign(store, number) for number in range(1, MANY + 1)]
        assert set(store.put(moved)) == {Merge.MADE}
        assert [store.get(session.key) for session in moved] == moved
        assert list(store.walk(Filter(), page=70)) == moved
        assert list(store.walk(Filter(tenant="acme"))) == [session for session in moved if session.tenant]
        wanted = Filter(tenant="", status=Status.ABANDONED, user_id="zoë@example.com")
        assert list(store.walk(wanted)) == [
            s for s in moved if not s.tenant and s.status == wanted.status and s.user_id
        ]

    def test_putting_it_again_changes_nothing(self, store: SessionManager) -> None:
        moved = [foreign(store, number) for number in range(1, 4)]
        store.put(moved)
        assert list(store.put([*moved, foreign(store, 9)])) == [Merge.SAME] * 3 + [Merge.MADE]
        assert store.put([]) == []

    def test_a_later_state_of_the_same_mapping_takes_its_place(self, store: SessionManager) -> None:
        old = foreign(store)
        store.put([old])
        later = replace(
            old, last_used=old.last_used + 5, status=Status.ACTIVE, user_id="bob", data={}, expires_at=None, turns=18
        )
        assert list(store.put([later])) == [Merge.UPDATED]
        assert store.get(old.key) == later
        assert list(store.walk(Filter(tenant="", user_id="bob"))) == [later]
        assert list(store.walk(Filter(tenant="", user_id=old.user_id))) == []
        assert list(store.walk(Filter(tenant="", status=old.status))) == []

    def test_another_mapping_is_overwritten_only_for_one_who_says_so(self, store: SessionManager) -> None:
        there = make_session(store, data={"kept": True})
        others = [
            replace(there, conversation_id="conv_other", last_used=there.last_used + 1000),
            replace(there, data={"edited": True}),
            replace(there, last_used=there.last_used - 1000),
        ]
        for other in others:
            assert list(store.put([other])) == [Merge.REFUSED]
            assert store.get(KEY) == there
        assert list(store.put(others[:1], replace=True)) == [Merge.UPDATED]
        assert store.get(KEY) == others[0]

    def test_of_many_only_those_that_differ_are_refused(self, store: SessionManager) -> None:
        there = make_session(store)
        moved = [foreign(store), replace(there, conversation_id="conv_other"), foreign(store, 2)]
        assert list(store.put(moved)) == [Merge.MADE, Merge.REFUSED, Merge.MADE]
        assert [store.get(session.key) for session in moved] == [moved[0], there, moved[2]]

    def test_what_is_being_erased_does_not_come_back(self, store: SessionManager) -> None:
        bound = make_session(store)
        with store.turn(KEY) as turn:
            erasure = turn.begin_erasure()
        assert list(store.put([bound], replace=True)) == [Merge.REFUSED]
        store.finish_erasure(erasure)
        assert store.get(KEY) is None

    def test_a_moved_session_takes_turns(self, store: SessionManager) -> None:
        moved = replace(foreign(store), user_id=None)
        store.put([moved])
        run_turn(store, moved.key)
        used = store.get(moved.key)
        assert used is not None
        assert (used.conversation_id, used.turns, used.data) == (moved.conversation_id, 18, moved.data)

    def test_a_moved_session_expires_when_it_says(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        moved = replace(foreign(store), expires_at=store.now() + 1000)
        store.put([moved])
        assert store.get(moved.key) == moved
        clock.advance(2)
        assert store.get(moved.key) is None
        assert store.expire() == 1

    def test_a_dry_run_says_what_would_be_done_and_does_nothing(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        same, older, expired, new = (foreign(store, number) for number in range(1, 5))
        expired = replace(expired, expires_at=store.now() + 1000)
        store.put([same, older, expired])
        clock.advance(2)
        later = replace(older, last_used=older.last_used + 5, turns=18)
        another = replace(expired, conversation_id="conv_another")
        wanted = [same, later, another, new]
        would = store.put(wanted, dry_run=True)
        assert (store.get(older.key), store.get(new.key)) == (older, None)
        assert list(would) == list(store.put(wanted)) == [Merge.SAME, Merge.UPDATED, Merge.REFUSED, Merge.MADE]


class PuttingAcrossProcesses(SharedStoreContract):
    def test_two_processes_that_put_the_same_sessions_make_each_once(
        self, store: SessionManager, address: StoreAddress, workers: Workers
    ) -> None:
        moved = [foreign(store, number) for number in range(1, MANY + 1)]
        there = [RemoteStore(worker, address) for worker in workers(2)]
        both = [remote.start(_put, moved if number else moved[::-1]) for number, remote in enumerate(there)]
        forth, back = both[1].result(60), both[0].result(60)[::-1]
        assert {frozenset(pair) for pair in zip(forth, back, strict=True)} == {frozenset({Merge.MADE, Merge.SAME})}
        assert list(store.walk(Filter())) == moved
        assert store.get(SessionKey("", "moved_1")) == moved[0]


def _put(store: SessionManager, sessions: list[Session]) -> list[Merge]:
    return list(store.put(sessions))
