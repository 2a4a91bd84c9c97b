"""A session store of one's own: a file a session in a folder, for any number of processes of one host.

It brings what is its own, the mappings, and holds the parts of the SQLite store for the rest: tickets, turn records,
erasures and owners lie in `turns.db` beside them. Another package adds it by an entry point in its pyproject.toml,

    [project.entry-points."conversation_gateway.stores"]
    folder = "own_store:open_folder"

and GATEWAY_STORE=folder:PATH opens it. What a step owes is told in `gateway.sessions.store`; whether it is kept,
`gateway.testing` tells (see tests/examples/test_own_store.py).
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import filelock
import sqlalchemy as sa

from gateway.errors import SessionExistsError, SessionNotFoundError, StoreUnavailableError
from gateway.model import SessionKey, Status
from gateway.sessions import Terms
from gateway.sessions.cursor import Cursor, parse_cursor
from gateway.sessions.jsonfile.atomic import sync_folder
from gateway.sessions.sql import open_file
from gateway.sessions.sql.erasures import SqlErasures
from gateway.sessions.sql.owners import SqlOwners
from gateway.sessions.sql.records import SqlRecords
from gateway.sessions.sql.tickets import SqlTickets
from gateway.sessions.store import Sessions, Store, lost
from gateway.sessions.values import Erasure, StoredPage, StoredSession

log = logging.getLogger(__name__)


class Folder:
    """The files. A session is replaced whole, and by one at a time, whoever else does so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        self._threads = threading.RLock()
        self._processes = filelock.FileLock(path / "lock", timeout=20, poll_interval=0.002, thread_local=False)

    def get(self, key: SessionKey) -> StoredSession | None:
        found = self._read(self._file(key))
        return found and replace(found, tenant=key.tenant, session_id=key.session_id)

    def all(self) -> Iterator[StoredSession]:
        """Those that can be read: one that cannot costs no other its place in a listing."""
        for file in self.path.glob("*.json"):
            try:
                if (session := self._read(file)) is not None:
                    yield session
            except StoreUnavailableError as exc:
                log.warning("%s", exc)

    @contextmanager
    def editing(self) -> Iterator[None]:
        """Alone among all threads and processes. Whatever the disk has against it is said in the store's words."""
        try:
            with self._threads, self._processes:
                yield
        except OSError as exc:  # the lock's own time-out is one, too
            raise StoreUnavailableError(retry_after=1) from exc

    def write(self, session: StoredSession) -> StoredSession:
        there = self.get(session.key)
        session = replace(session, revision=there.revision + 1 if there else 0)
        with (self.path / "next").open("w") as file:
            json.dump(asdict(session), file)
            file.flush()
            os.fsync(file.fileno())
        (self.path / "next").replace(self._file(session.key))
        sync_folder(self.path)
        return session

    def rename(self, key: SessionKey, session: StoredSession) -> None:
        """The file's name rules over what is in it: so there is one session at every moment, under one name."""
        self._file(key).replace(self._file(session.key))
        self.write(session)

    def drop(self, key: SessionKey) -> None:
        self._file(key).unlink(missing_ok=True)
        sync_folder(self.path)

    def _file(self, key: SessionKey) -> Path:
        return self.path / (hashlib.sha256("\0".join(key).encode()).hexdigest() + ".json")

    def _read(self, file: Path) -> StoredSession | None:
        try:
            fields = json.loads(file.read_text())
            return StoredSession(**{**fields, "status": Status(fields["status"])})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise StoreUnavailableError(f"{file.name} cannot be read.") from exc


class FolderSessions(Sessions):
    def __init__(self, folder: Folder, tickets: SqlTickets, records: SqlRecords, erasures: SqlErasures) -> None:
        self.folder, self.tickets, self.records, self.erasures = folder, tickets, records, erasures

    def get(self, key):
        return self.folder.get(key)

    def get_many(self, keys):
        return {key: session for key in keys if (session := self.folder.get(key)) is not None}

    def page(self, wanted, limit, after):
        now, behind = self.tickets.now(), parse_cursor(after) if after is not None else None
        found = [
            session
            for session in sorted(self.folder.all(), key=Cursor.of, reverse=True)
            if wanted.passes(session) and not session.is_over(now) and (behind is None or Cursor.of(session) < behind)
        ]
        return StoredPage(found[:limit], Cursor.of(found[limit - 1]).encode() if len(found) > limit else None)

    def made(self, tenant, limit, before):
        now = self.tickets.now()
        found = [s for s in self.folder.all() if s.tenant == tenant and not s.is_over(now)]
        places = {(s.created_at, s.session_id): s for s in found}
        return [places[at] for at in sorted(places, reverse=True) if before is None or at < before][:limit]

    def put(self, changes):
        with self.folder.editing():
            fits = [self.folder.get(session.key) == found for found, session in changes]
            for (_, session), fit in zip(changes, fits, strict=True):
                if fit:
                    self.folder.write(session)
            return fits

    def swap(self, session):
        with self.folder.editing():
            there = self.folder.get(session.key)
            if there is None or (there.revision, there.conversation_id) != (session.revision, session.conversation_id):
                return False
            self.folder.write(replace(there, data=session.data, metadata=session.metadata, status=session.status))
            return True

    def bind(self, turn_id, session, *, replaces, erase_old):
        with self.folder.editing():
            if not self.tickets.holds(turn_id):
                raise lost()
            there, follows = self.folder.get(session.key), False
            if there is not None:
                if there.binding != replaces:
                    return there
                follows = session.generation == replaces.generation + 1
                self._let_go(turn_id, there, erase=erase_old, turns_go=not follows)
            if there is not None and follows:
                session = replace(there, conversation_id=session.conversation_id, generation=session.generation)
            return self.folder.write(session)

    def rename(self, turn_id, other_turn_id, key, session):
        def move(work: sa.Connection) -> None:
            self.tickets.check(work, turn_id, other_turn_id)
            self.records.move(work, key, session.session_id)

        with self.folder.editing():
            there, taken = self.folder.get(key), self.folder.get(session.key)
            if there is None and taken is not None and taken.conversation_id == session.conversation_id:
                return True
            if there is None or there.conversation_id != session.conversation_id:
                raise SessionNotFoundError()
            if taken is not None:
                raise SessionExistsError(param="session_id")
            if there.revision != session.revision:
                return False
            self.tickets.database.atomically(move)
            self.folder.rename(key, session)
            return True

    def forget(self, turn_id, key, conversation_id, *, erase):
        with self.folder.editing():
            there = self.folder.get(key)
            if there is not None and there.conversation_id == conversation_id:
                self._let_go(turn_id, there, erase=erase, turns_go=True)
                self.folder.drop(key)
            elif not self.tickets.holds(turn_id):
                raise lost()

    def expire(self, limit):
        with self.folder.editing():
            now = self.tickets.now()
            over = [s for s in self.folder.all() if s.is_over(now) and s.status is not Status.ERASING]
            gone = [session for session in over if not self.tickets.queue(session.key)][:limit]
            for session in gone:
                self._let_go(None, session, erase=self.tickets.terms.erase_expired, turns_go=True)
                self.folder.drop(session.key)
            return len(gone)

    def _let_go(self, turn_id: str | None, session: StoredSession, *, erase: bool, turns_go: bool) -> None:
        """Its conversation is to be erased, or expressly not; before the mapping goes, so that nobody forgets it."""
        erasure = Erasure(*session.key, session.conversation_id, requested_at=self.tickets.now(), whole=False)

        def let_go(work: sa.Connection) -> None:
            if turn_id is not None:
                self.tickets.check(work, turn_id)
            (self.erasures.add if erase else self.erasures.remove)(work, erasure)
            if turns_go:
                self.records.detach(work, [session.key])

        self.tickets.database.atomically(let_go)


class FolderRecords(SqlRecords):
    """Records of turns that end in the folder, too."""

    folder: Folder

    def finish(self, record, use):
        with self.folder.editing():
            there = self.folder.get(use.key) if use is not None else None
            if (
                there is not None
                and there.conversation_id == use.conversation_id
                and self._tickets.holds(record.turn_id)
            ):
                used = max(there.last_used, use.last_used)
                self.folder.write(replace(there, last_used=used, expires_at=use.expires_at, turns=use.turns))
            super().finish(record, None)


class FolderErasures(SqlErasures):
    """Erasures of sessions in the folder."""

    folder: Folder

    def begin(self, turn_id, erasure):
        def add(work: sa.Connection) -> None:
            self._tickets.check(work, turn_id)
            self.add(work, erasure)

        with self.folder.editing():
            there = self.folder.get(erasure.key)
            if there is None or there.conversation_id != erasure.conversation_id:
                raise SessionNotFoundError()
            self._database.atomically(add)
            self.folder.write(replace(there, status=Status.ERASING))

    def claim(self, limit, until):
        return [erasure for erasure in super().claim(limit, until) if self._counts(erasure)]

    def list(self, limit):
        return [erasure for erasure in super().list(limit) if self._counts(erasure)]

    def _counts(self, erasure):
        """Not after a crash between the two writes of a step: then the folder still says that it is in use."""
        there = self.folder.get(erasure.key)
        return there is None or there.conversation_id != erasure.conversation_id or there.status is Status.ERASING

    def finish(self, erasure):
        def remove(work: sa.Connection) -> None:
            self.remove(work, erasure)
            self._records.erase(work, erasure, whole=whole)

        with self.folder.editing():
            there, erased = self.folder.get(erasure.key), (Status.ERASING, erasure.conversation_id)
            whole = erasure.whole and there is not None and (there.status, there.conversation_id) == erased
            self._database.atomically(remove)
            if whole:
                self.folder.drop(erasure.key)


class FolderStore(Store):
    def __init__(self, folder: Folder, terms: Terms) -> None:
        file = sa.URL.create("sqlite", database=str(folder.path / "turns.db"))
        self.database, self.tables, self.liveness = open_file(
            file, prefix="folder", alive_folder=folder.path / "alive", mapping=False
        )
        tables = self.tables
        self.terms = terms
        self.tickets = SqlTickets(self.database, tables, self.liveness, terms)
        self.records = FolderRecords(self.database, tables, self.tickets)
        self.erasures = FolderErasures(self.database, tables, self.tickets, self.records)
        self.records.folder = self.erasures.folder = folder
        self.sessions = FolderSessions(folder, self.tickets, self.records, self.erasures)
        self.owners = SqlOwners(self.database, tables, self.tickets.now)

    def now(self):
        return self.tickets.now()

    def ping(self):
        self.database.check(self.tables.turns)
        self.liveness.check()

    def close(self):
        self.liveness.close()
        self.database.close()


def open_folder(url: str, *, prefix: str, terms: Terms) -> FolderStore:
    return FolderStore(Folder(Path(url.partition(":")[2])), terms)
