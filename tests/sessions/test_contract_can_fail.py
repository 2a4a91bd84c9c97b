"""A suite that cannot fail proves nothing: stores with a defect each, and the promise of the contract that finds it."""

import inspect
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.errors import TurnLostError
from gateway.model import SessionKey
from gateway.sessions import Lifetime, SessionManager, open_sessions
from gateway.sessions.values import Standing
from gateway.testing import OneProcessContract, SessionManagerContract, StoreAddress
from gateway.testing.processes import Crew
from gateway.testing.waiting import Clock

DEFECTS: list[tuple[Callable[[SessionManager], None], str]] = []


def found_by(*tests: str):
    """The defect that a function puts into a store, and the tests of the contract that must fail then."""

    def enlist(defect):
        DEFECTS.extend((defect, f"test_{test}") for test in tests)
        return defect

    return enlist


@found_by("turns_of_a_session_run_one_at_a_time", "threads_that_ask_for_the_first_turn_at_once_share_one_conversation")
def everybody_holds_the_session(store):
    fences = itertools.count(1)
    enter = store.store.tickets.enter

    def enter_and_hold(record, *, queue_limit):
        enter(record, queue_limit=1000)
        return Standing(0, next(fences))

    store.store.tickets.enter = enter_and_hold


@found_by("a_turn_that_is_not_renewed_is_lost_with_its_lease", "every_step_of_a_lost_turn_is_refused")
def a_lost_turn_is_not_told(store):
    def ignoring(step):
        def write(*args, **kwargs):
            try:
                return step(*args, **kwargs)
            except TurnLostError:
                return args[-1]  # which for a binding is the session, as if it were bound

        return write

    parts = store.store
    for part, verb in (
        *((parts.sessions, "bind"), (parts.records, "write"), (parts.records, "finish")),
        *((parts.erasures, "begin"), (parts.sessions, "forget")),
    ):
        setattr(part, verb, ignoring(getattr(part, verb)))


@found_by("a_turn_that_is_not_renewed_is_lost_with_its_lease", "leaving_twice_frees_nobody_else")
def leaving_frees_whoever_holds(store):
    withdraw = store.store.tickets.withdraw
    holders = {}
    enter, poll = store.store.tickets.enter, store.store.tickets.poll

    def entered(record, *, queue_limit):
        standing = enter(record, queue_limit=queue_limit)
        if not standing.before:
            holders[record.key] = record.turn_id
        return standing

    def polled(key, turn_id):
        standing = poll(key, turn_id)
        if standing and not standing.before:
            holders[key] = turn_id
        return standing

    store.store.tickets.enter, store.store.tickets.poll = entered, polled
    store.store.tickets.withdraw = lambda key, turn_id: withdraw(key, holders.get(key, turn_id))


@found_by("a_turn_is_kept_longer_than_its_lease", "only_live_tickets_are_renewed")
def nothing_is_renewed(store):
    store.store.tickets.renew = lambda tickets: set()


@found_by("ids_that_look_alike_are_different_sessions")
def ids_are_folded(store):
    turn = store.turn
    store.turn = lambda key, **options: turn(SessionKey(key.tenant, key.session_id.lower()), **options)


@found_by("another_mapping_is_overwritten_only_for_one_who_says_so", "of_many_only_those_that_differ_are_refused")
def whatever_is_put_is_written(store):
    put = store.put
    store.put = lambda sessions, *, replace=False: put(sessions, replace=True)


@found_by("what_is_put_keeps_every_field_and_is_listed", "a_later_state_of_the_same_mapping_takes_its_place")
def what_is_put_loses_a_field(store):
    put = store.store.sessions.put
    store.store.sessions.put = lambda changes: put([(found, replace(session, turns=0)) for found, session in changes])


@found_by("what_something_else_has_bound_stays_bound")
def a_binding_is_taken_for_ours(store):
    bind = store.store.sessions.bind

    def bound(turn_id, session, **options):
        bind(turn_id, session, **options)
        return session

    store.store.sessions.bind = bound


@found_by("a_stale_swap_is_refused")
def the_last_editor_wins(store):
    swap = store.store.sessions.swap

    def swapped(session):
        now = store.store.sessions.get(session.key)
        return swap(replace(session, revision=now.revision, conversation_id=now.conversation_id)) or True

    store.store.sessions.swap = swapped


@found_by("finishing_twice_changes_nothing", "a_finish_outlasts_a_store_that_is_away_for_a_moment")
def a_turn_counts_as_often_as_it_ends(store):
    ends = Counter()
    finish = store.store.records.finish
    get = store.store.sessions.get

    def finished(record, use):
        finish(record, use)
        ends[record.key] += use is not None

    store.store.records.finish = finished
    store.store.sessions.get = lambda key: (session := get(key)) and replace(session, turns=ends[key])


@found_by("a_response_is_its_tenants")
def what_was_given_to_one_was_given_to_all(store):
    owners = store.store.owners
    remember, remembered = owners.remember, owners.remembered
    owners.remember = lambda tenant, ids, until: remember("", ids, until)
    owners.remembered = lambda tenant, ids: remembered("", ids)


@found_by("a_reply_that_reached_nobody_is_claimed_once")
def everybody_claims_a_reply(store):
    mark = store.store.records.set_undelivered
    store.store.records.set_undelivered = lambda record, undelivered: mark(record, undelivered) or True


@found_by("the_key_of_an_ended_turn_is_taken")
def keys_are_forgotten(store):
    enter = store.store.tickets.enter
    store.store.tickets.enter = lambda record, **options: enter(replace(record, idempotency_key=None), **options)


@found_by("a_prefix_is_taken_letter_by_letter", "filters_alone_and_together")
def a_prefix_is_ignored(store):
    listed = store.store.sessions.page
    store.store.sessions.page = lambda wanted, limit, after: listed(replace(wanted, prefix=""), limit, after)


@found_by("a_session_used_between_pages_is_at_most_missed", "a_long_listing_is_complete")
def pages_begin_again(store):
    listed = store.store.sessions.page
    pages = itertools.count()
    store.store.sessions.page = lambda wanted, limit, after: listed(
        wanted, limit, after if next(pages) % 2 == 0 else None
    )


@found_by("it_does_not_expire_during_a_turn")
def sessions_expire_during_turns(store):
    store.store.tickets.is_held = lambda key: False


@found_by("a_turn_renews_it_and_reading_does_not")
def turns_do_not_renew(store):
    finish = store.store.records.finish
    store.store.records.finish = lambda record, use: finish(record, use and use._replace(expires_at=store.now() + 1000))


@found_by("the_session_has_its_new_name_only", "its_turns_go_with_it")
def a_rename_does_nothing(store):
    store.store.sessions.rename = lambda *args: True


@found_by("finishing_removes_the_session_and_its_turns")
def an_erasure_leaves_the_mapping(store):
    finish = store.store.erasures.finish
    store.store.erasures.finish = lambda erasure: finish(replace(erasure, whole=False))


@found_by("a_revoked_key_is_gone_and_its_name_is_free")
def keys_are_kept_in_memory(store):
    find = store.store.owners.find_key
    seen = {}
    store.store.owners.find_key = lambda name: seen.get(name) or seen.setdefault(name, find(name))


@found_by("a_name_is_one_keys_alone", "of_those_who_make_a_key_of_the_same_name_one_succeeds")
def the_last_key_of_a_name_wins(store):
    add = store.store.owners.add_key
    store.store.owners.add_key = lambda key: add(key) or (store.store.owners.remove_key(key.name), add(key))[1]


@found_by("names_that_look_alike_are_different_keys")
def names_of_keys_are_folded(store):
    add, find = store.store.owners.add_key, store.store.owners.find_key
    store.store.owners.add_key = lambda key: add(replace(key, name=key.name.lower()))
    store.store.owners.find_key = lambda name: find(name.lower())


def run(contract: type, test: str, open_store, tmp_path, **more):
    """Calls a test of the contract as pytest would, with the fixtures that it names."""
    clock = Clock()
    have = {
        "open_store": lambda: open_store,
        "store": lambda: open_store(),
        "clock": lambda: clock,
        "mortal": lambda: open_store(lifetime=Lifetime(idle_seconds=600.0), clock=clock),
        "tmp_path": lambda: tmp_path,
        "monkeypatch": pytest.MonkeyPatch,
        "written": lambda: True,
        **{name: lambda value=value: value for name, value in more.items()},
    }
    function = getattr(contract(), test)
    function(**{name: have[name]() for name in inspect.signature(function).parameters})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "test"), [pytest.param(*pair, id=f"{pair[0].__name__}-{pair[1]}") for pair in DEFECTS]
)
def test_the_contract_finds(defect, test, tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.testing.queue.PATIENCE_SECONDS", 3)

    def open_broken(**options):
        store = open_sessions("memory:", **options)
        defect(store)
        return store

    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        run(OneProcessContract, test, open_broken, tmp_path)
    assert not isinstance(caught.value, TypeError | AttributeError | NameError), "the defect is one of the test's own"


@pytest.mark.parametrize(
    "test",
    [
        "test_what_one_process_binds_every_other_reads_at_once",
        "test_a_turn_that_runs_elsewhere_is_busy_here",
        "test_an_erasure_outlives_the_process_that_began_it",
        "test_processes_that_edit_at_once_lose_nothing",
        "test_a_key_opens_every_process_until_one_revokes_it",
    ],
)
def test_the_contract_finds_a_store_that_other_processes_do_not_see(test, tmp_path):
    address = StoreAddress("memory:")
    crew = Crew()
    try:
        with pytest.raises((Exception, pytest.fail.Exception)) as caught:
            run(SessionManagerContract, test, address.open, tmp_path, address=address, workers=crew)
        assert not isinstance(caught.value, TypeError | AttributeError | NameError)
    finally:
        crew.dismiss()


@pytest.mark.parametrize("test", ["what_no_key_opens_is_an_error_and_stays", "keys_are_rotated"])
def test_the_contract_finds_a_store_that_encrypts_nothing(test, tmp_path):
    address = StoreAddress(f"sqlite:///{tmp_path}/sessions.db")

    def open_plain(*, encryption_keys=(), **options):
        return address.open(**options)

    with pytest.raises(AssertionError, match=r"\.unreadable$"):
        run(SessionManagerContract, f"test_{test}", open_plain, tmp_path)
