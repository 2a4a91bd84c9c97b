"""Which conversation a session is bound to: written once a generation, read by all."""

from __future__ import annotations

import string
from contextlib import ExitStack
from pathlib import Path

from gateway.model import Session, SessionKey, Status
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import Filter, StoredSession
from gateway.testing.contract import KEY, OpenStore, SharedStoreContract, StoreContract, Workers, make_session, run_turn
from gateway.testing.remote import RemoteStore, StoreAddress, rush
from gateway.testing.waiting import Clock

PROCESSES, THREADS = 8, 8

LOOKALIKES = [
    *("a", "A", "aa", "aA", "Aa", "AA", "a..", ".a", "...", "sess", "SESS", "Sess", "0", "00", "1e0", "1"),
    *(f"a{mark}" for mark in "._~:@+=,|-"),
    *(f"{mark}a" for mark in "_~:@+=,|-"),
    *(f"a{mark}b" for mark in "._~:@+=,|-"),
    *("null", "None", "true", "gateway", "constructor", "__proto__", "%41".replace("%", "=")),
    *("x" * 200, "X" * 200, "x" * 199, "x" * 199 + "."),
]


class MappingContract(StoreContract):
    def test_a_session_never_seen_is_absent(self, store: SessionManager) -> None:
        assert store.get(KEY) is None
        assert store.turns(KEY) == []
        assert store.turn_record(KEY, "turn_unknown") is None
        with store.turn(KEY) as turn:
            assert turn.session is None
        assert store.get(KEY) is None

    def test_what_is_bound_is_what_is_read(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        data = {"name": "Zoë 🏋", "nested": {"list": [1, 2.5, None, {"deep": True}], "": "empty"}, "quote": "'\";--\\"}
        metadata = {"plan": "beginner", "line": "one\ntwo\t\u2028"}
        with store.turn(KEY) as turn:
            bound = turn.bind("conv_abc123", user_id="alice@example.com", data=data, metadata=metadata)
            assert turn.session == bound
            assert store.get(KEY) == bound
        now = round(clock() * 1000)
        assert bound == Session(
            tenant="",
            session_id="user_alice_session",
            conversation_id="conv_abc123",
            created_at=now,
            last_used=now,
            expires_at=store.lifetime.expires_at(now, now),
            user_id="alice@example.com",
            data=data,
            metadata=metadata,
            generation=1,
            turns=0,
        )
        assert store.get(KEY) == bound

    def test_the_next_turn_finds_the_conversation(self, store: SessionManager) -> None:
        bound = make_session(store)
        with store.turn(KEY) as turn:
            assert turn.session == bound

    def test_a_turn_counts_and_is_the_last_use(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        bound = make_session(store)
        clock.advance(60)
        run_turn(store)
        used = store.get(KEY)
        assert used is not None
        assert (used.turns, used.last_used, used.created_at) == (1, round(clock() * 1000), bound.created_at)
        clock.advance(-3600)  # a clock that was set back
        run_turn(store)
        again = store.get(KEY)
        assert again is not None
        assert (again.turns, again.last_used) == (2, used.last_used)

    def test_binding_again_is_a_new_generation(self, store: SessionManager) -> None:
        bound = make_session(store, user_id="u", data={"a": 1}, metadata={"b": "2"})
        run_turn(store)
        with store.turn(KEY) as turn:
            rebound = turn.bind("conv_2")
            assert store.get(KEY) == rebound
        assert (rebound.conversation_id, rebound.generation, rebound.turns) == ("conv_2", 2, 1)
        assert (rebound.created_at, rebound.user_id, rebound.version) == (bound.created_at, "u", bound.version)
        assert not store.erasures()

    def test_binding_again_can_have_the_old_conversation_erased(self, store: SessionManager) -> None:
        make_session(store)
        with store.turn(KEY) as turn:
            turn.bind("conv_2", erase_old=True)
        (erasure,) = store.erasures()
        assert (erasure.session_id, erasure.conversation_id, erasure.whole) == (KEY.session_id, "conv_1", False)
        session = store.get(KEY)
        assert session is not None
        assert (session.conversation_id, session.generation) == ("conv_2", 2)

    def test_a_first_binding_has_nothing_to_erase(self, store: SessionManager) -> None:
        with store.turn(KEY) as turn:
            turn.bind("conv_1", erase_old=True)
        assert not store.erasures()

    def test_what_something_else_has_bound_stays_bound(self, store: SessionManager) -> None:
        with store.turn(KEY) as turn:
            now = store.now()
            other = StoredSession(*KEY, "conv_other", now, now, None, Status.ACTIVE, None, "{}", "{}", 1, 0)
            store.store.sessions.bind(turn.record.turn_id, other, replaces=None, erase_old=False)
            assert turn.bind("conv_mine").conversation_id == "conv_other"
            assert turn.session == store.get(KEY)
        session = store.get(KEY)
        assert session is not None
        assert (session.conversation_id, session.generation) == ("conv_other", 1)

    def test_threads_that_ask_for_the_first_turn_at_once_share_one_conversation(
        self, store: SessionManager, tmp_path: Path
    ) -> None:
        conversations = rush(store, KEY, tmp_path / "turn", 32, "here")
        session = store.get(KEY)
        assert session is not None
        assert set(conversations) == {session.conversation_id}
        assert (session.generation, session.turns) == (1, 32)

    def test_ids_that_look_alike_are_different_sessions(self, store: SessionManager) -> None:
        assert len(set(LOOKALIKES)) == len(LOOKALIKES)
        assert set("._~:@+=,|-") <= set("".join(LOOKALIKES)) - set(string.ascii_letters)
        with ExitStack() as held:  # all at once, so that none can have another's ticket
            for number, session_id in enumerate(LOOKALIKES):
                turn = held.enter_context(store.turn(SessionKey("", session_id), wait_seconds=0))
                assert turn.session is None, f"{session_id!r} is taken for another session"
                turn.bind(f"conv_{number}")
        for number, session_id in enumerate(LOOKALIKES):
            session = store.get(SessionKey("", session_id))
            assert session is not None
            assert (session.session_id, session.conversation_id) == (session_id, f"conv_{number}")
        listed = store.list(Filter(), limit=100).sessions
        assert sorted(session.session_id for session in listed) == sorted(LOOKALIKES)

    def test_the_same_id_in_two_tenants_is_two_sessions(self, store: SessionManager) -> None:
        keys = [
            *(SessionKey("", "b"), SessionKey("t", "b"), SessionKey("T", "b"), SessionKey("t.", "b")),
            *(SessionKey("t", "a:b"), SessionKey("t:a", "b"), SessionKey("a|t", "b"), SessionKey("a", "t|b")),
        ]
        with ExitStack() as held:
            for number, key in enumerate(keys):
                held.enter_context(store.turn(key, wait_seconds=0)).bind(f"conv_{number}")
        for number, key in enumerate(keys):
            session = store.get(key)
            assert session is not None
            assert (session.key, session.conversation_id) == (key, f"conv_{number}")

    def test_the_store_answers_a_ping(self, store: SessionManager) -> None:
        store.ping()


class MappingAcrossProcesses(SharedStoreContract):
    def test_processes_that_ask_for_the_first_turn_at_once_share_one_conversation(
        self, store: SessionManager, address: StoreAddress, workers: Workers, tmp_path: Path
    ) -> None:
        there = [RemoteStore(worker, address) for worker in workers(PROCESSES)]
        rushes = [
            remote.start(rush, KEY, tmp_path / "turn", THREADS, f"process{number}")
            for number, remote in enumerate(there)
        ]
        conversations = {conversation for each in rushes for conversation in each.result(110)}
        session = store.get(KEY)
        assert session is not None
        assert conversations == {session.conversation_id}
        assert (session.generation, session.turns) == (1, PROCESSES * THREADS)
        assert all(remote.do("get", KEY) == session for remote in there)

    def test_what_one_process_binds_every_other_reads_at_once(
        self, store: SessionManager, address: StoreAddress, workers: Workers
    ) -> None:
        there = [RemoteStore(worker, address) for worker in workers(3)]
        assert [remote.do("get", KEY) for remote in there] == [None] * 3
        for number in range(1, 6):
            turn = there[number % 3].take(KEY)
            bound = turn.do("bind", f"conv_{number}")
            assert bound.generation == number
            assert [remote.do("get", KEY) for remote in there] == [bound] * 3
            assert store.get(KEY) == bound
            turn.leave()
