"""Pages of sessions: newest use first, complete, and never the same session twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.errors import InvalidRequestError
from gateway.model import Session, SessionKey, Status
from gateway.sessions.cursor import Cursor
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import Filter, Lifetime
from gateway.testing.contract import OpenStore, StoreContract, make_session, run_turn
from gateway.testing.waiting import Clock


def in_pages(store: SessionManager, filter: Filter, limit: int) -> Iterator[list[Session]]:
    """The pages of a listing, each read when it is asked for."""
    after = None
    cursors = set()
    while True:
        page = store.list(filter, limit=limit, after=after)
        assert len(page.sessions) <= limit
        yield page.sessions
        if page.next is None:
            return
        assert page.sessions, "an empty page has a next one"
        assert page.next not in cursors, "a listing without an end"
        cursors.add(page.next)
        after = page.next


def ids(store: SessionManager, limit: int = 100, **filtered: Any) -> list[str]:
    """The session ids of a whole listing."""
    pages = in_pages(store, Filter(**filtered), limit)
    return [session.session_id for page in pages for session in page]


class ListingContract(StoreContract):
    listed_sessions = 1000
    """How many sessions the long listing has."""

    def test_an_empty_store_lists_nothing(self, store: SessionManager) -> None:
        assert store.list(Filter()) == ([], None)

    def test_the_newest_use_comes_first(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        for name in ("a", "b", "c"):
            make_session(store, SessionKey("", name))
            clock.advance(1)
        run_turn(store, SessionKey("", "a"))
        assert ids(store) == ["a", "c", "b"]
        page = store.list(Filter())
        assert page.sessions == [store.get(SessionKey("", name)) for name in ("a", "c", "b")]

    def test_by_creation_no_use_moves_a_session(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock, lifetime=Lifetime(1000))
        names = [f"{number:02}" for number in range(24)]
        for number, name in enumerate(names):
            make_session(store, SessionKey("a", name))
            make_session(store, SessionKey("b", name))
            clock.advance(number % 2)  # two are made at each moment
        expected = [key.session_id for key in sorted((SessionKey("a", name) for name in names), reverse=True)]
        seen: list[Session] = []
        while page := store.made("a", limit=5, before=seen[-1] if seen else None):
            for session in page:
                run_turn(store, session.key)
            make_session(store, SessionKey("a", f"late-{len(seen)}"))
            seen += page
            clock.advance(1)
        assert [session.session_id for session in seen] == expected
        late = store.made("a", limit=1)[0].session_id
        assert late == "late-20"
        store.rename(SessionKey("a", "00"), "renamed")
        with store.turn(SessionKey("a", "01")) as turn:
            turn.forget()
        oldest = [session.session_id for session in store.made("a", limit=100)[-2:]]
        assert oldest == ["02", "renamed"]
        assert store.made("c") == []
        clock.advance(2000)
        assert store.made("a") == []

    def test_sessions_used_at_the_same_moment_all_come_once(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        names = [f"{number:02}" for number in range(24)]
        for number, name in enumerate(names):
            make_session(store, SessionKey("", name))
            if number % 8 == 7:
                clock.advance(1)
        for limit in (1, 5, 8, 23, 24, 25):
            listed = ids(store, limit)
            assert sorted(listed) == names, f"in pages of {limit}"
            assert [int(name) // 8 for name in listed] == [2] * 8 + [1] * 8 + [0] * 8

    def test_the_last_page_says_so(self, store: SessionManager) -> None:
        for name in ("a", "b", "c", "d"):
            make_session(store, SessionKey("", name))
        assert store.list(Filter(), limit=4).next is None
        first = store.list(Filter(), limit=2)
        assert first.next is not None
        assert store.list(Filter(), limit=2, after=first.next).next is None

    def test_a_long_listing_is_complete(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        keys = [SessionKey("", f"session_{number:05}") for number in range(self.listed_sessions)]

        def make(key: SessionKey) -> Session:
            return make_session(store, key, f"conv_{key.session_id}")

        with ThreadPoolExecutor(16) as pool:
            made = []
            for start in range(0, len(keys), 100):
                made += list(pool.map(make, keys[start : start + 100]))
                clock.advance(1)
        listed = [session for page in in_pages(store, Filter(), 99) for session in page]
        assert len(listed) == len(made)
        assert {session.session_id: session for session in listed} == {session.session_id: session for session in made}
        used = [session.last_used for session in listed]
        assert used == sorted(used, reverse=True)

    def test_a_session_used_between_pages_is_at_most_missed(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        names = [f"{number:02}" for number in range(20)]
        for name in names:
            make_session(store, SessionKey("", name))
            clock.advance(1)
        seen: list[str] = []
        used = set()
        for number, page in enumerate(in_pages(store, Filter(), 3)):
            seen += [session.session_id for session in page]
            for name in (seen[-1], names[number], "new" + str(number)):  # one seen, one to come, one unheard of
                used.add(name)
                run_turn(store, SessionKey("", name))
                clock.advance(1)
        assert len(seen) == len(set(seen)), "a session came twice"
        assert set(names) - used <= set(seen), "a session that nobody used was missed"

    def test_a_session_gone_between_pages_disturbs_no_other(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        for name in "abcdef":
            make_session(store, SessionKey("", name))
            clock.advance(1)
        seen: list[str] = []
        for page in in_pages(store, Filter(), 2):
            seen += [session.session_id for session in page]
            if len(seen) == 2:  # the one the cursor stands on, and one after it
                for name in ("e", "d"):
                    with store.turn(SessionKey("", name)) as turn:
                        turn.forget()
        assert seen == ["f", "e", "c", "b", "a"]

    def test_filters_alone_and_together(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        for tenant, name, user in (
            ("", "web_1", "ann"),
            ("", "web_2", "Ann"),
            ("", "web-3", "ann"),
            ("", "WEB_4", None),
            ("t", "web_5", "ann"),
            ("T", "web_6", "ann."),
        ):
            make_session(store, SessionKey(tenant, name), user_id=user)
            clock.advance(1)
        store.update(SessionKey("", "web_1"), status=Status.COMPLETED)
        store.update(SessionKey("t", "web_5"), status=Status.COMPLETED)
        third = store.get(SessionKey("", "web-3"))
        assert third is not None
        before = third.last_used

        assert ids(store) == ["web_6", "web_5", "WEB_4", "web-3", "web_2", "web_1"]
        assert ids(store, tenant="") == ["WEB_4", "web-3", "web_2", "web_1"]
        assert ids(store, tenant="t") == ["web_5"]
        assert ids(store, tenant="nobody") == []
        assert ids(store, user_id="ann") == ["web_5", "web-3", "web_1"]
        assert ids(store, user_id="Ann") == ["web_2"]
        assert ids(store, user_id="") == []
        assert ids(store, status=Status.COMPLETED) == ["web_5", "web_1"]
        assert ids(store, status=Status.ABANDONED) == []
        assert ids(store, prefix="web") == ["web_6", "web_5", "web-3", "web_2", "web_1"]
        assert ids(store, used_before=before) == ["web_2", "web_1"]
        assert ids(store, used_before=before + 1) == ["web-3", "web_2", "web_1"]
        assert ids(store, tenant="", user_id="ann") == ["web-3", "web_1"]
        assert ids(store, user_id="ann", status=Status.ACTIVE) == ["web-3"]
        completed = ids(store, tenant="", user_id="ann", status=Status.COMPLETED, prefix="web_", used_before=before)
        assert completed == ["web_1"]
        # … and in pages of one, where a cursor must carry on through what the filter leaves out.
        assert ids(store, 1, user_id="ann") == ["web_5", "web-3", "web_1"]
        assert ids(store, 1, tenant="", prefix="web", used_before=before + 1) == ["web-3", "web_2", "web_1"]
        assert ids(store, 2, status=Status.ACTIVE, tenant="") == ["WEB_4", "web-3", "web_2"]

    def test_a_prefix_is_taken_letter_by_letter(self, store: SessionManager) -> None:
        for name in ("a_1", "ab1", "A_2", "a.1", "a~1", "a|1"):
            make_session(store, SessionKey("", name))
        assert ids(store, prefix="a_") == ["a_1"]
        assert ids(store, prefix="a.") == ["a.1"]
        assert ids(store, prefix="a|") == ["a|1"]
        assert ids(store, prefix="A") == ["A_2"]
        assert sorted(ids(store, prefix="a")) == ["a.1", "a_1", "ab1", "a|1", "a~1"]
        for nonsense in ("%", "_", "a%", "*", "a*", "?", "[a]", "^a", "\\", "'", "a\\_"):
            assert ids(store, prefix=nonsense) == [], nonsense

    @pytest.mark.parametrize(
        "cursor",
        [
            *("nonsense", "0", "-1", "é🦀", "AAAA", "W10", "e30", "bnVsbA==", "a" * 5000),
            Cursor(2**64 - 1, "a", "").encode(),
            Cursor(True, "a", "").encode(),
        ],
    )
    def test_a_cursor_that_no_page_gave_is_refused(self, store: SessionManager, cursor: str) -> None:
        make_session(store, SessionKey("", "a"))
        with pytest.raises(InvalidRequestError):
            store.list(Filter(), after=cursor)

    def test_expired_sessions_neither_show_nor_cut_a_page_short(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock, lifetime=Lifetime(idle_seconds=100))
        for name in ("a", "b", "c", "d", "e", "f"):
            make_session(store, SessionKey("", name))
            clock.advance(20)
        # Now a is 120 seconds old, b 100, c 80 …
        assert ids(store, 2) == ["f", "e", "d", "c"]
        assert ids(store, 4) == ["f", "e", "d", "c"]
        assert store.list(Filter(), limit=4).next is None
