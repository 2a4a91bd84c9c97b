"""What is done to a whole session, from Python: all of it, or nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import (
    ConversationGoneError,
    ProviderError,
    SessionExistsError,
    SessionNotFoundError,
    TurnBusyError,
    UserMismatchError,
    VersionMismatchError,
)
from gateway.lifecycle import items
from gateway.lifecycle.erasures import Eraser
from gateway.lifecycle.sessions import Made, forget, fork, make, rename, reset
from gateway.model import Session
from gateway.providers.base import all_items
from gateway.providers.local import LocalProvider
from gateway.providers.retry import Patience
from gateway.sessions import SessionManager
from tests.harness.app import FaultyProvider, key, texts, user

ANN, BOB = key("ann"), key("bob")


@pytest.fixture
def provider(tmp_path: Path) -> Any:
    behind = LocalProvider(str(tmp_path / "provider.db"))
    yield FaultyProvider(behind)
    behind.close()


@pytest.fixture
def ann(store: SessionManager, provider: Any) -> Session:
    """A session in which 45 things were said."""
    made = make(store, provider, ANN, data={"plan": "gold"}, metadata={"team": "a"}).session
    items.add(store, provider, ANN, [user(f"word {number}") for number in range(45)])
    provider.calls.clear()
    return made


def said(provider: Any, session: Session) -> list[str]:
    return texts(list(all_items(provider, session.conversation_id)))


def exists(provider: Any, conversation_id: str) -> bool:
    try:
        provider.retrieve_conversation(conversation_id)
    except ConversationGoneError:
        return False
    return True


def test_what_is_there_is_not_made_again(store: SessionManager, provider: Any, ann: Session) -> None:
    assert make(store, provider, ANN, data={"plan": "other"}) == Made(ann, False)
    with pytest.raises(UserMismatchError):
        make(store, provider, ANN, user_id="u")
    with pytest.raises(SessionExistsError):
        make(store, provider, ANN, items=[user("one more")])
    bob = make(store, provider, BOB, user_id="u", items=[user("hello")])
    assert (bob.created, bob.session.user_id, said(provider, bob.session)) == (True, "u", ["hello"])


def test_a_reset_erases_the_old_conversation_once_the_new_one_is_bound(
    store: SessionManager, provider: Any, ann: Session
) -> None:
    done = reset(Eraser(store, provider), ANN, keep_history=True)
    assert (done.old_conversation, done.copied.items_copied, done.session.generation) == ("erased", 45, 2)
    assert not exists(provider, ann.conversation_id)
    assert len(said(provider, done.session)) == 45
    kept = reset(Eraser(store, provider), ANN, erase_old=False)
    assert kept.old_conversation == "kept"
    assert exists(provider, done.session.conversation_id)


def test_a_reset_never_erases_the_conversation_that_is_still_bound(
    store: SessionManager, provider: Any, ann: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the new one is made somebody edits the mapping, and so what is there is not what was to be replaced."""
    create = provider.behind.create_conversation
    made: list[str] = []

    def edit_meanwhile(**options: Any) -> Any:
        store.put([replace(ann, generation=7)], replace=True)
        created = create(**options)
        made.append(created["id"])
        return created

    monkeypatch.setattr(provider.behind, "create_conversation", edit_meanwhile)
    done = reset(Eraser(store, provider), ANN)
    assert (done.session.conversation_id, done.old_conversation) == (ann.conversation_id, "kept")
    assert exists(provider, ann.conversation_id)
    assert len(said(provider, ann)) == 45
    assert not exists(provider, made[0])
    assert not store.erasures()


def test_a_fork_is_a_second_session(store: SessionManager, provider: Any, ann: Session) -> None:
    forked = fork(store, provider, ANN, "bob", user_id="u")
    assert (forked.session.key, forked.session.user_id, forked.copied.items_copied) == (BOB, "u", 45)
    assert (forked.session.data, forked.session.metadata) == ({"plan": "gold"}, {"team": "a"})
    assert said(provider, forked.session) == said(provider, ann)
    with pytest.raises(SessionExistsError):
        fork(store, provider, ANN, "bob")
    with pytest.raises(SessionExistsError):
        fork(store, provider, ANN, "ann")
    with pytest.raises(SessionNotFoundError):
        fork(store, provider, key("nobody"), "eve")


class Killed(BaseException):
    """As a crash: nothing that the process would have done afterwards is done."""


@pytest.mark.parametrize("cut_off", [ProviderError(), Killed()])
def test_a_fork_that_was_cut_off_left_nothing_and_is_done_again(
    store: SessionManager, provider: Any, ann: Session, cut_off: Any
) -> None:
    provider.fail("add_items", cut_off, first=1)
    with pytest.raises(type(cut_off)):
        fork(store, provider, ANN, "bob")
    assert store.get(BOB) is None
    if isinstance(cut_off, ProviderError):
        assert provider.calls.count("create_conversation") == provider.calls.count("delete_conversation") == 1
    provider.heal()
    forked = fork(store, provider, ANN, "bob")
    assert said(provider, forked.session) == [f"word {number}" for number in range(45)]


def test_a_rename_takes_the_session_along_and_no_other_users(
    store: SessionManager, provider: Any, ann: Session
) -> None:
    renamed = rename(store, ANN, "bob", user_id="u")
    assert (renamed.key, renamed.user_id, renamed.conversation_id) == (BOB, "u", ann.conversation_id)
    assert store.get(ANN) is None
    with pytest.raises(UserMismatchError):
        rename(store, BOB, "ann", user_id="v")
    make(store, provider, ANN)
    with pytest.raises(SessionExistsError):
        rename(store, BOB, "ann")
    with pytest.raises(SessionNotFoundError):
        rename(store, key("nobody"), "eve")


def test_nothing_is_done_in_the_middle_of_a_turn(store: SessionManager, provider: Any, ann: Session) -> None:
    store.wait_seconds = 0
    acts = [
        lambda: reset(Eraser(store, provider), ANN),
        lambda: fork(store, provider, ANN, "bob"),
        lambda: fork(store, provider, ANN, "aaa"),
        lambda: rename(store, ANN, "bob"),
        lambda: forget(store, ANN),
        lambda: items.add(store, provider, ANN, [user("word")]),
        lambda: items.pop(store, provider, ANN),
        lambda: items.clear(store, provider, ANN),
        lambda: items.remove(store, provider, ANN, "msg_1"),
    ]
    with store.turn(ANN):
        for act in acts:
            with pytest.raises(TurnBusyError):
                act()
    assert provider.calls == []
    assert store.get(ANN) == ann


def test_what_is_forgotten_stays_at_the_provider(store: SessionManager, provider: Any, ann: Session) -> None:
    def refuse(session: Session) -> None:
        raise VersionMismatchError()

    with pytest.raises(VersionMismatchError):
        forget(store, ANN, check=refuse)
    assert forget(store, ANN) == ann
    assert store.get(ANN) is None
    assert exists(provider, ann.conversation_id)
    with pytest.raises(SessionNotFoundError):
        forget(store, ANN)


def test_the_first_items_make_the_session_or_nothing(store: SessionManager, provider: Any) -> None:
    provider.fail("add_items", ProviderError(in_doubt=True), first=1)
    with pytest.raises(ProviderError) as failed:
        items.add(store, provider, BOB, [user(f"word {number}") for number in range(45)])
    assert failed.value.details == {}
    assert store.get(BOB) is None
    provider.heal()
    assert len(items.add(store, provider, BOB, [user("word")], user_id="u")) == 1
    bob = store.get(BOB)
    assert bob is not None
    assert (bob.user_id, said(provider, bob)) == ("u", ["word"])


def test_a_conversation_that_is_gone_is_replaced_where_that_is_asked_for(
    store: SessionManager, provider: Any, ann: Session
) -> None:
    provider.delete_conversation(ann.conversation_id)
    with pytest.raises(ConversationGoneError):
        items.add(store, provider, ANN, [user("word")])
    assert store.get(ANN) == ann

    def fill(conversation_id: str) -> None:
        provider.add_items(conversation_id, [user("word")])

    items.write(store, provider, ANN, fill, Patience(1), restart=True)
    replaced = store.get(ANN)
    assert replaced is not None
    assert (replaced.generation, said(provider, replaced)) == (2, ["word"])
