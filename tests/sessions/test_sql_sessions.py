"""What is written to a session in SQL only if nobody was faster: edits, names, and mappings made elsewhere."""

from dataclasses import replace

import pytest

from gateway.errors import SessionNotFoundError
from gateway.model import SessionKey, Status
from gateway.sessions import SessionManager
from gateway.testing.contract import stored
from tests.harness.sql_stores import KEY, run_turn


def test_an_edit_is_refused_after_another_one_and_after_nothing_else(store: SessionManager) -> None:
    run_turn(store)
    seen = stored(store)
    run_turn(store)
    edited = replace(seen, data='{"a":1}')
    assert store.store.sessions.swap(edited)
    assert not store.store.sessions.swap(replace(edited, data='{"a":2}'))
    now = stored(store)
    assert (now.data, now.turns) == ('{"a":1}', 2)
    assert now.revision != seen.revision


def test_an_edit_is_for_the_conversation_that_it_was_read_with(store: SessionManager) -> None:
    run_turn(store)
    seen = stored(store)
    with store.turn(KEY) as turn:
        turn.bind("conv_2")
    assert not store.store.sessions.swap(seen)
    assert store.store.sessions.swap(replace(seen, conversation_id="conv_2"))  # a reset is no edit


def test_an_edit_does_not_call_off_an_erasure(store: SessionManager) -> None:
    run_turn(store)
    seen = stored(store)
    with store.turn(KEY) as turn:
        turn.begin_erasure()
    assert not store.store.sessions.swap(seen)
    assert stored(store).status is Status.ERASING


def test_a_mapping_is_put_only_in_place_of_what_was_found(store: SessionManager) -> None:
    run_turn(store)
    found = stored(store)
    fresh = replace(found, session_id="fresh")
    later = replace(found, last_used=found.last_used + 1, turns=7)
    assert store.store.sessions.put([(None, fresh), (found, later)]) == [True, True]
    put = stored(store)
    assert put == replace(later, revision=put.revision)
    assert put.revision != found.revision
    others = [
        replace(put, **change)
        for change in ({"turns": 8}, {"data": "[]"}, {"status": Status.ABANDONED}, {"user_id": "u"})
    ]
    assert [store.store.sessions.put([(other, found)]) for other in others] == [[False]] * 4
    assert store.store.sessions.put([(None, found)]) == [False]
    gone = SessionKey("", "gone")
    assert store.store.sessions.put([(replace(put, session_id="gone"), replace(put, session_id="gone"))]) == [False]
    assert store.store.sessions.get(gone) is None
    assert stored(store) == put


def test_a_rename_is_refused_after_an_edit_and_done_once(store: SessionManager) -> None:
    run_turn(store)
    seen, sessions = stored(store), store.store.sessions
    renamed = replace(seen, session_id="alice", user_id="u", data='{"sealed":"anew"}')
    with store.turns_of_both(KEY, renamed.key) as (one, other):
        turns = one.record.turn_id, other.record.turn_id
        assert sessions.swap(replace(seen, data='{"edited":true}'))
        assert not sessions.rename(*turns, KEY, renamed)
        assert stored(store).data == '{"edited":true}'
        renamed = replace(renamed, revision=stored(store).revision)
        for _ in range(2):
            assert sessions.rename(*turns, KEY, renamed)
        with pytest.raises(SessionNotFoundError):
            sessions.rename(*turns, KEY, replace(renamed, conversation_id="conv_other"))
    assert sessions.get(KEY) is None
    found = stored(store, renamed.key)
    assert (found.user_id, found.data) == ("u", '{"sealed":"anew"}')
    assert len(store.turns(renamed.key)) == 1


def test_many_are_read_at_once_over_tenants(store: SessionManager) -> None:
    keys = [SessionKey(tenant, name) for tenant in ("acme", "") for name in ("b", "a")]
    for key in keys:
        run_turn(store, key)
    found = store.store.sessions.get_many([*keys, SessionKey("acme", "c"), SessionKey("none", "a")])
    assert found == {key: stored(store, key) for key in keys}
