"""sessions.json under way: seen at once, read once, written for many, whole whatever happens."""

import errno
import json
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import SessionNotFoundError, StoreUnavailableError
from gateway.model import Session, SessionKey, Status, TurnState
from gateway.sessions import Filter, open_sessions
from gateway.sessions.jsonfile import SessionsFile
from gateway.sessions.jsonfile.snapshot import Draft
from gateway.testing.processes import _fresh as processes
from tests.harness.support import eventually
from tests.harness.writers import ALICE, bind_for_ever, conversation, count_in_threads, count_up, fill, put, session


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.json"


# --- Reading -----------------------------------------------------------------------------------------------


def test_an_unchanged_file_is_parsed_once(path: Path) -> None:
    SessionsFile(path).edit(put("alice", "bob"))
    file = SessionsFile(path)
    for _ in range(100):
        assert conversation(file) == "conv_alice"
    assert file.parses == 1


def test_ones_own_writes_are_not_parsed(path: Path) -> None:
    file = SessionsFile(path)
    for _ in range(10):
        file.edit(count_up)
        assert conversation(file) == "conv_alice"
    assert file.parses == 0


def test_the_writes_of_others_are_followed_without_parsing_the_file(path: Path) -> None:
    ours, theirs = SessionsFile(path), SessionsFile(path)
    ours.edit(put("alice", "bob"))
    assert conversation(theirs) == "conv_alice"
    for number in range(50):
        ours.edit(count_up)
        theirs.edit(put(f"s{number}"))
    assert list(theirs.read().sessions()) == list(SessionsFile(path).read().sessions())
    assert theirs.parses == 1


def test_what_was_dropped_leaves_no_trace_beside_the_file_and_others_see_that_it_is_gone(path: Path) -> None:
    ours, theirs = SessionsFile(path), SessionsFile(path)
    ours.edit(put("alice", "bob"))
    ours.edit(put("mallory"))
    theirs.read()
    assert b"mallory" in (path.parent / "sessions.json.d" / "changes").read_bytes()
    ours.edit(lambda draft: draft.drop(SessionKey("", "mallory")))
    assert not [found for found in path.parent.rglob("*") if found.is_file() and b"mallory" in found.read_bytes()]
    assert conversation(theirs, SessionKey("", "mallory")) is None


@pytest.mark.parametrize("damage", [b"", b"{", b'[[1,2,3,4],[1,2,3,4],{"alice":null}]\n', b"\xff\n\n"])
def test_what_others_left_of_their_writes_may_be_damaged(path: Path, damage: bytes) -> None:
    ours, theirs = SessionsFile(path), SessionsFile(path)
    ours.edit(put("alice"))
    theirs.read()
    ours.edit(put("bob"))
    ours.edit(put("carol"))
    (ours.folder / "changes").write_bytes(damage)
    assert len(list(theirs.read().sessions())) == 3


@pytest.mark.parametrize("in_place", [True, False])
def test_a_hand_edit_is_seen(path: Path, in_place: bool) -> None:
    file = SessionsFile(path)
    file.edit(put("alice", "bob"))
    # Of the same length, and at the same moment by the file system's clock.
    text = path.read_text().replace("conv_alice", "conv_carol")
    if in_place:
        path.write_text(text)
    else:
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)
    assert conversation(file) == "conv_carol"
    assert file.edit(count_up) == 1
    assert json.loads(path.read_text())["alice"]["conversation_id"] == "conv_carol"


def test_after_any_edit_a_file_reads_as_if_for_the_first_time(path: Path) -> None:
    chance = random.Random(7)
    file = SessionsFile(path)
    names = [f"session-{number}" for number in range(300)]
    file.edit(put(*names))
    for step in range(60):
        records = json.loads(path.read_text())
        for _ in range(chance.randrange(1, 6)):
            name = chance.choice(list(records))
            match chance.randrange(4):
                case 0:
                    del records[name]
                case 1:
                    records[name]["turns"] = chance.randrange(10**6)
                case 2:
                    records[f"new-{step}-{chance.random()}"] = dict(records[name])
                case 3:
                    items = list(records.items())
                    chance.shuffle(items) if chance.random() < 0.2 else items.reverse()
                    records = dict(items)
        path.write_text(json.dumps(records, indent=chance.choice([2, 2, 2, None])) + "\n")
        seen, fresh = file.read(), SessionsFile(path).read()
        assert list(seen.sessions()) == list(fresh.sessions())
        assert seen.entries == fresh.entries


# --- Writing -----------------------------------------------------------------------------------------------


def test_edits_that_come_in_during_a_rewrite_share_the_next_one(path: Path) -> None:
    file = SessionsFile(path)
    with ThreadPoolExecutor(20) as pool:

        def first(draft: Draft) -> None:
            eventually(lambda: len(file._queue) == 19)
            draft.put(session("alice"))

        leader = pool.submit(file.edit, first)
        eventually(lambda: not file._queue)
        others = [pool.submit(file.edit, count_up) for _ in range(19)]
        leader.result()
        assert sorted(other.result() for other in others) == list(range(1, 20))
    assert file.rewrites == 2


def test_an_edit_that_fails_is_its_own_callers_alone(path: Path) -> None:
    file = SessionsFile(path)

    def fails(draft: Draft) -> None:
        draft.put(session("bob"))
        raise SessionNotFoundError()

    with ThreadPoolExecutor(3) as pool:

        def first(draft: Draft) -> None:
            eventually(lambda: len(file._queue) == 2)

        leader = pool.submit(file.edit, first)
        eventually(lambda: not file._queue)
        failed, other = pool.submit(file.edit, fails), pool.submit(file.edit, count_up)
        leader.result()
        with pytest.raises(SessionNotFoundError):
            failed.result()
        assert other.result() == 1
    assert list(json.loads(path.read_text())) == ["alice"]


def test_an_edit_that_changes_nothing_writes_nothing(path: Path) -> None:
    file = SessionsFile(path)
    file.edit(put("alice"))
    file.edit(put("alice"))
    file.edit(lambda draft: draft.drop(SessionKey("", "bob")))
    assert file.rewrites == 1


def test_a_hand_edit_in_the_middle_of_a_write_is_not_overwritten(path: Path) -> None:
    file = SessionsFile(path)
    file.edit(put("alice"))
    by_hand = path.read_text().replace("conv_alice", "conv_carol")

    def edit(draft: Draft) -> None:
        path.write_text(by_hand)
        draft.put(session("bob"))

    with pytest.raises(StoreUnavailableError, match="was changed by somebody else"):
        file.edit(edit)
    assert path.read_text() == by_hand
    assert conversation(file) == "conv_carol"


def test_a_failed_write_leaves_the_file_and_says_so_to_each(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SessionsFile(path)
    file.edit(put("alice"))
    before = path.read_bytes()

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as disk, ThreadPoolExecutor(4) as pool:
        disk.setattr(os, "fsync", broken)
        failures = [pool.submit(file.edit, put(f"s{number}")).exception() for number in range(4)]
    assert len(set(map(id, failures))) == 4
    assert all(isinstance(exc, StoreUnavailableError) and "Input/output error" in str(exc) for exc in failures)
    assert path.read_bytes() == before
    assert not list(file.folder.glob("*.tmp"))
    assert file.edit(count_up) == 1


def test_a_full_disk_is_an_error_and_the_file_stays(path: Path) -> None:
    ours, theirs = processes.Pipe()
    child = processes.Process(target=fill, args=(path, theirs))
    child.start()
    theirs.close()
    message, intact, beside, unseen = ours.recv()
    child.join()
    assert message == f"{path} cannot be written: File too large."
    assert intact
    assert unseen is None
    assert not [name for name in beside if name.endswith(".tmp")]


def test_concurrent_edits_of_four_processes_lose_nothing(path: Path) -> None:
    children = [processes.Process(target=count_in_threads, args=(path, number)) for number in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    written = json.loads(path.read_text())
    assert written["alice"]["turns"] == 160
    assert len(written) == 161
    alice = SessionsFile(path).read().get(ALICE)
    assert alice is not None
    assert alice.turns == 160


@pytest.mark.slow
def test_killed_a_hundred_times_the_file_parses_and_holds_every_acknowledged_session(path: Path) -> None:
    SessionsFile(path).edit(put(*(f"old-{number}" for number in range(500))))
    acknowledged = {f"old-{number}": f"conv_old-{number}" for number in range(500)}
    chance = random.Random(1)
    for life in range(100):
        ours, theirs = processes.Pipe()
        child = processes.Process(target=bind_for_ever, args=(f"json:{path}", life, theirs))
        child.start()
        theirs.close()
        acknowledged.update([ours.recv()])
        ours.poll(chance.random() * 0.01)  # somewhere in the next bind, or the one behind it
        child.kill()
        child.join()
        try:
            while True:
                acknowledged.update([ours.recv()])
        except (EOFError, ConnectionResetError):
            pass
        written = json.loads(path.read_text())
        assert {name: written.get(name, {}).get("conversation_id") for name in acknowledged} == acknowledged
    with open_sessions(f"json:{path}") as store:
        assert not list(store.store.file.folder.glob("*.tmp"))
        assert store.get(SessionKey("", "life-99-0"))


# --- The file and the records beside it --------------------------------------------------------------------


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_erasure_that_did_not_reach_the_file_does_not_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_sessions(f"json:{path}") as store:
        with store.turn(ALICE) as turn:
            turn.bind("conv_1")
            for step in (
                turn.begin_erasure,
                lambda: turn.bind("conv_2", erase_old=True),
                lambda: store.store.sessions.forget(turn.record.turn_id, ALICE, "conv_1", erase=True),
            ):
                # As a crash between the two writes of the step.
                with monkeypatch.context() as crash:
                    crash.setattr(SessionsFile, "_replace", full_disk)
                    with pytest.raises(StoreUnavailableError):
                        step()
                assert store.erasures() == []
                assert store.get(ALICE) == turn.session
            turn.forget()
        assert store.get(ALICE) is None
        assert store.erasures() == [], "it was to be kept"


def test_one_that_did_is_finished_though_the_records_are_lost(path: Path) -> None:
    with open_sessions(f"json:{path}") as store, store.turn(ALICE) as turn:
        turn.bind("conv_1")
    path.write_text(path.read_text().replace('"conversation_id"', '"status": "erasing", "conversation_id"'))
    with open_sessions(f"json:{path}") as store:
        (erasure,) = store.erasures()
        assert (erasure.session_id, erasure.conversation_id, erasure.whole) == ("alice", "conv_1", True)
        store.finish_erasure(erasure)
        assert store.get(ALICE) is None
        assert store.erasures() == []


def test_a_record_taken_out_by_hand_is_not_brought_back_by_a_turns_end(path: Path) -> None:
    with open_sessions(f"json:{path}") as store, store.turn(ALICE) as turn:
        turn.bind("conv_1")
        turn.begin()
        path.write_text("{}")
        assert turn.finish(TurnState.COMPLETED).state is TurnState.COMPLETED
        assert store.get(ALICE) is None


def test_ten_thousand_sessions_list_in_pages(path: Path) -> None:
    chance = random.Random(3)
    with open_sessions(f"json:{path}") as store:
        times = [chance.randrange(5_000) for _ in range(10_000)]
        store.store.file.edit(
            lambda draft: [
                draft.put(replace(session(f"s{number}"), last_used=used, status=Status.ACTIVE))
                for number, used in enumerate(times)
            ]
        )
        seen: list[Session] = []
        after = None
        while True:
            page = store.list(Filter(), limit=100, after=after)
            seen += page.sessions
            after = page.next
            if after is None:
                break
        assert [found.last_used for found in seen] == sorted(times, reverse=True)
        assert len({found.session_id for found in seen}) == 10_000
        assert [found.last_used for found in store.list(Filter(used_before=100), limit=100).sessions] == sorted(
            (used for used in times if used < 100), reverse=True
        )[:100]


def test_readers_and_writers_in_threads_see_only_whole_versions(path: Path) -> None:
    ours, theirs = SessionsFile(path), SessionsFile(path)
    ours.edit(put("alice"))
    stop = threading.Event()

    def watch() -> int:
        last = 0
        while not stop.is_set():
            found = theirs.read().get(ALICE)
            assert found is not None
            assert found.turns >= last
            last = found.turns
        return last

    with ThreadPoolExecutor(2) as pool:
        watchers = [pool.submit(watch) for _ in range(2)]
        for _ in range(100):
            ours.edit(count_up)
        stop.set()
        for watcher in watchers:
            watcher.result()
    assert theirs.read().get(ALICE) == ours.read().get(ALICE)
