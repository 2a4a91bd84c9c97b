"""A session store of one's own: everything in the memory of one process, behind one lock.

Another package adds it under a scheme of its own, in its pyproject.toml:

    [project.entry-points."conversation_gateway.stores"]
    dict = "own_store:open_dict"

and GATEWAY_STORE=dict: opens it. `gateway.testing.OneProcessContract` says whether it keeps what is promised; what a
step owes is told in `gateway.sessions.store`.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from itertools import count, islice

from gateway.errors import (
    InvalidRequestError,
    QueueFullError,
    SessionExistsError,
    SessionNotFoundError,
    TurnBusyError,
)
from gateway.model import ApiKey, SessionKey, Status, TurnRecord, TurnState
from gateway.sessions import Terms
from gateway.sessions.store import Erasures, Owners, Records, Sessions, Store, Tickets, lost
from gateway.sessions.values import (
    Erasure,
    KeyTakenError,
    ResponseOwner,
    Standing,
    StoredPage,
    StoredSession,
    epoch_ms,
)

WAITING, RUNNING = TurnState.WAITING, TurnState.RUNNING


@dataclass
class Row:
    """A turn's record, which is its ticket while it is open."""

    record: TurnRecord
    entered_at: int
    place: int | None
    """Its place in the queue; None when it has left it."""
    lease_until: float
    fence: int = 0
    """The place among all turns that ever held the session; 0: not granted, or no longer listed."""

    @property
    def lives(self) -> bool:
        return self.place is not None and self.lease_until > time.monotonic()

    @property
    def shown(self) -> TurnRecord:
        return replace(self.record, live=self.lives)


@dataclass
class Memory:
    """All that is kept."""

    terms: Terms
    sessions: dict[SessionKey, StoredSession] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    erasures: dict[tuple[SessionKey, str], Erasure] = field(default_factory=dict)
    given: dict[tuple[str, str], int] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def now(self) -> int:
        return epoch_ms(self.terms.clock)

    def of(self, key: SessionKey) -> list[Row]:
        return [row for row in self.rows.values() if row.record.key == key]

    def queue(self, key: SessionKey) -> list[Row]:
        """The live tickets in their order; the dead are passed over, and the first one is granted."""
        waiting = sorted((row for row in self.of(key) if row.place is not None), key=lambda row: row.place or 0)
        for row in waiting:
            if not row.lives:
                self.leave(row)
        living = [row for row in waiting if row.lives]
        if living and not living[0].fence:
            living[0].fence = next(self.numbers)
        return living

    def leave(self, row: Row) -> None:
        row.place = None
        if row.record.state is WAITING:
            self.rows.pop(row.record.turn_id, None)

    def held(self, turn_id: str) -> Row:
        row = self.rows.get(turn_id)
        if row is None or row.place is None or not row.fence:
            raise lost()
        return row

    def by_key(self, tenant: str, key: str | None) -> Row | None:
        for row in self.rows.values():
            if key is not None and (row.record.tenant, row.record.idempotency_key) == (tenant, key):
                fresh = row.entered_at + self.terms.retention.key_ms > self.now()
                if fresh and (row.lives or row.record.state is not WAITING):
                    return row
        return None

    def drop(self, rows: list[Row], *, keep: Callable[[Row], Row]) -> None:
        """Ended turns go, but for what is kept of those whose key is young."""
        for row in rows:
            young = row.entered_at + self.terms.retention.key_ms > self.now()
            if row.record.idempotency_key is not None and young:
                self.rows[row.record.turn_id] = keep(row)
            else:
                del self.rows[row.record.turn_id]

    def erase(self, key: SessionKey, conversation_id: str) -> None:
        erasure = Erasure(*key, conversation_id, requested_at=self.now(), whole=False)
        self.erasures.setdefault((key, conversation_id), erasure)

    def retire(self, key: SessionKey, *, erase: bool) -> None:
        """The session's turns are no longer listed: they wait for its erasure, or go."""
        rows = [row for row in self.of(key) if row.place is None]
        for row in rows:
            row.fence = 0
        if not erase:
            self.drop(rows, keep=lambda row: row)


class Part:
    def __init__(self, memory: Memory) -> None:
        self.memory = memory


class DictTickets(Part, Tickets):
    def enter(self, record: TurnRecord, *, queue_limit: int) -> Standing:
        m = self.memory
        taken = m.by_key(record.tenant, record.idempotency_key)
        if taken is not None and taken.record.turn_id != record.turn_id:
            raise KeyTakenError(taken.shown)
        queue = m.queue(record.key)
        if record.turn_id not in m.rows:
            if queue and queue_limit == 0:
                raise TurnBusyError(retry_after=1)
            if queue and len(queue) - 1 >= queue_limit:
                raise QueueFullError(retry_after=1)
            until = time.monotonic() + m.terms.lease_seconds
            m.rows[record.turn_id] = Row(replace(record, live=True), m.now(), next(m.numbers), until)
        standing = self.poll(record.key, record.turn_id)
        assert standing is not None
        return standing

    def poll(self, key: SessionKey, turn_id: str) -> Standing | None:
        for before, row in enumerate(self.memory.queue(key)):
            if row.record.turn_id == turn_id:
                return Standing(before, row.fence, True, self.memory.sessions.get(key))
        return None

    def renew(self, tickets):
        alive = set()
        for _, turn_id in tickets:
            row = self.memory.rows.get(turn_id)
            if row is not None and row.place is not None:
                row.lease_until = time.monotonic() + self.memory.terms.lease_seconds
                alive.add(turn_id)
        return alive

    def withdraw(self, key: SessionKey, turn_id: str) -> None:
        if turn_id in self.memory.rows and self.memory.rows[turn_id].place is not None:
            self.memory.leave(self.memory.rows[turn_id])

    def is_held(self, key: SessionKey) -> bool:
        return bool(self.memory.queue(key))


class DictSessions(Part, Sessions):
    def get(self, key):
        return self.memory.sessions.get(key)

    def get_many(self, keys):
        return {key: self.memory.sessions[key] for key in keys if key in self.memory.sessions}

    def page(self, wanted, limit, after):
        now = self.memory.now()
        found = sorted(
            (s.last_used, s.session_id, s.tenant)
            for s in self.memory.sessions.values()
            if not s.is_over(now)
            and wanted.tenant in (None, s.tenant)
            and wanted.user_id in (None, s.user_id)
            and wanted.status in (None, s.status)
            and s.session_id.startswith(wanted.prefix)
            and (wanted.used_before is None or s.last_used < wanted.used_before)
        )
        places = list(islice((p for p in reversed(found) if after is None or p < self._place(after)), limit + 1))
        sessions = [self.memory.sessions[SessionKey(tenant, name)] for _, name, tenant in places[:limit]]
        more = len(places) > limit
        return StoredPage(sessions, "{} {} {}".format(*places[limit - 1]) if more else None)

    @staticmethod
    def _place(after: str) -> tuple[int, str, str]:
        try:
            used, session_id, tenant = after.split(" ")
            return int(used), session_id, tenant
        except ValueError:
            raise InvalidRequestError("This is not the cursor of a page.", param="after") from None

    def made(self, tenant, limit, before):
        found = (s for s in self.memory.sessions.values() if s.tenant == tenant and not s.is_over(self.memory.now()))
        ordered = sorted(found, key=lambda s: (s.created_at, s.session_id), reverse=True)
        return [s for s in ordered if before is None or (s.created_at, s.session_id) < before][:limit]

    def put(self, changes):
        written = [self.memory.sessions.get(session.key) == found for found, session in changes]
        for (_, session), may in zip(changes, written, strict=True):
            if may:
                self._write(session)
        return written

    def swap(self, session):
        there = self.memory.sessions.get(session.key)
        if there is None or (there.revision, there.conversation_id) != (session.revision, session.conversation_id):
            return False
        self._write(replace(there, data=session.data, metadata=session.metadata, status=session.status))
        return True

    def bind(self, turn_id, session, *, replaces, erase_old):
        m, key = self.memory, session.key
        m.held(turn_id)
        there = m.sessions.get(key)
        if there is not None:
            if there.binding != replaces:
                return there
            follows = session.generation == replaces.generation + 1
            if erase_old:
                m.erase(key, there.conversation_id)
            if follows:
                session = replace(there, conversation_id=session.conversation_id, generation=session.generation)
            else:
                m.retire(key, erase=erase_old)
        return self._write(session)

    def rename(self, turn_id, other_turn_id, key, session):
        m = self.memory
        m.held(turn_id), m.held(other_turn_id)
        there, taken = m.sessions.get(key), m.sessions.get(session.key)
        if there is None and taken is not None and taken.conversation_id == session.conversation_id:
            return True
        if there is None or there.conversation_id != session.conversation_id:
            raise SessionNotFoundError()
        if taken is not None:
            raise SessionExistsError(param="session_id")
        if there.revision != session.revision:
            return False
        del m.sessions[key]
        texts = {"data": session.data, "metadata": session.metadata, "user_id": session.user_id}
        self._write(replace(there, session_id=session.session_id, **texts))
        for row in m.of(key):
            if row.place is None:
                row.record = replace(row.record, session_id=session.session_id)
        for name, erasure in [item for item in m.erasures.items() if item[0][0] == key]:
            del m.erasures[name]
            m.erasures[session.key, name[1]] = replace(erasure, session_id=session.session_id)
        return True

    def forget(self, turn_id, key, conversation_id, *, erase):
        self.memory.held(turn_id)
        there = self.memory.sessions.get(key)
        if there is not None and there.conversation_id == conversation_id:
            del self.memory.sessions[key]
            if erase:
                self.memory.erase(key, conversation_id)
            self.memory.retire(key, erase=erase)

    def expire(self, limit):
        m = self.memory
        over = (s for s in list(m.sessions.values()) if s.is_over(m.now()) and s.status is not Status.ERASING)
        gone = list(islice((s for s in over if not m.queue(s.key)), limit))
        for session in gone:
            del m.sessions[session.key]
            if m.terms.erase_expired:
                m.erase(session.key, session.conversation_id)
            m.retire(session.key, erase=m.terms.erase_expired)
        return len(gone)

    def _write(self, session: StoredSession) -> StoredSession:
        self.memory.sessions[session.key] = replace(session, revision=next(self.memory.numbers))
        return self.memory.sessions[session.key]


class DictRecords(Part, Records):
    def write(self, record):
        self.memory.held(record.turn_id).record = replace(record, live=True)

    def finish(self, record, use):
        m = self.memory
        row = m.rows.get(record.turn_id)
        if row is not None and row.place is None and row.record == record:
            return  # by this very call, whose answer was lost
        row = m.held(record.turn_id)
        row.record, row.place = record, None
        there = m.sessions.get(use.key) if use is not None else None
        if there is not None and there.conversation_id == use.conversation_id:
            used = max(there.last_used, use.last_used)
            m.sessions[use.key] = replace(there, last_used=used, expires_at=use.expires_at, turns=use.turns)

    def recall(self, tenant, idempotency_key):
        row = self.memory.by_key(tenant, idempotency_key)
        return row.shown if row is not None else None

    def get(self, key, turn_id):
        row = self.memory.rows.get(turn_id)
        return row.shown if row is not None and (row.lives or row.record.state is not WAITING) else None

    def newest(self, key, limit, after):
        rows = [row for row in self.memory.of(key) if row.fence and row.record.state is not WAITING]
        rows.sort(key=lambda row: -row.fence)
        if after is not None:
            behind = [row.fence for row in rows if row.record.turn_id == after]
            if not behind:
                raise InvalidRequestError("There is no such turn.", param="after")
            rows = [row for row in rows if row.fence < behind[0]]
        return [row.shown for row in rows[:limit]]

    def settle(self, record):
        self.memory.queue(record.key)
        row = self.memory.rows.get(record.turn_id)
        if row is None or row.place is not None or row.record.state is not RUNNING:
            return False
        row.record = replace(record, live=False)
        return True

    def set_undelivered(self, record, undelivered):
        row = self.memory.rows.get(record.turn_id)
        if row is None or row.place is not None or row.record.undelivered == undelivered:
            return False
        row.record = replace(row.record, undelivered=undelivered)
        return True

    def responses(self, key, conversation_id, limit):
        records = (row.record for row in self.memory.of(key) if row.record.conversation_id == conversation_id)
        return [record.response_id for record in records if record.response_id is not None][:limit]

    def drop_responses(self, key, conversation_id, response_ids):
        for row in self.memory.of(key):
            if row.record.response_id in response_ids:
                row.record = replace(row.record, response_id=None)

    def of_response(self, tenant, response_id):
        for row in self.memory.rows.values():
            record = row.record
            if (record.tenant, record.response_id) == (tenant, response_id):
                return ResponseOwner(record.session_id, record.conversation_id, record.workflow)
        return None

    def prune(self, limit):
        oldest = self.memory.now() - self.memory.terms.retention.record_ms
        old = [turn_id for turn_id, row in self.memory.rows.items() if row.entered_at <= oldest and not row.lives]
        for turn_id in old[:limit]:
            del self.memory.rows[turn_id]
        return len(old[:limit])


class DictErasures(Part, Erasures):
    def begin(self, turn_id, erasure):
        m = self.memory
        m.held(turn_id)
        there = m.sessions.get(erasure.key)
        if there is None or there.conversation_id != erasure.conversation_id:
            raise SessionNotFoundError()
        m.sessions[erasure.key] = replace(there, status=Status.ERASING)
        known = m.erasures.get((erasure.key, erasure.conversation_id), erasure)
        m.erasures[erasure.key, erasure.conversation_id] = replace(known, whole=True)

    def claim(self, limit, until):
        now = self.memory.now()
        due = sorted((e for e in self.memory.erasures.values() if e.not_before <= now), key=lambda e: e.not_before)
        claimed = [replace(erasure, not_before=until) for erasure in due[:limit]]
        for erasure in claimed:
            self.postpone(erasure)
        return claimed

    def postpone(self, erasure):
        if (name := (erasure.key, erasure.conversation_id)) in self.memory.erasures:
            known = self.memory.erasures[name]
            self.memory.erasures[name] = replace(known, not_before=erasure.not_before, attempts=erasure.attempts)

    def list(self, limit):
        return sorted(self.memory.erasures.values(), key=lambda erasure: erasure.requested_at)[:limit]

    def finish(self, erasure):
        m, key = self.memory, erasure.key
        first = m.erasures.pop((key, erasure.conversation_id), None) is not None
        there = m.sessions.get(key)
        rows = [row for row in m.of(key) if row.place is None]
        if first and erasure.whole:
            awaited = {conversation_id for session, conversation_id in m.erasures if session == key}
            rows = [row for row in rows if row.record.conversation_id not in awaited]
            erased = (Status.ERASING, erasure.conversation_id)
            if there is not None and (there.status, there.conversation_id) == erased:
                del m.sessions[key]
        else:
            rows = [row for row in rows if row.record.conversation_id == erasure.conversation_id]
        m.drop(rows, keep=lambda row: replace(row, fence=0, record=_mark(row.record)))


def _mark(record: TurnRecord) -> TurnRecord:
    """What stays of an erased turn: that its key was used, and for what."""
    kept = (record.turn_id, record.tenant, "", TurnState.LOST)
    return TurnRecord(*kept, idempotency_key=record.idempotency_key, fingerprint=record.fingerprint)


class DictOwners(Part, Owners):
    def remember(self, tenant, given_ids, until):
        self.memory.given |= {(tenant, each): until for each in given_ids}

    def remembered(self, tenant, given_ids):
        now = self.memory.now()
        return {each for each in given_ids if self.memory.given.get((tenant, each), 0) > now}

    def prune(self, limit):
        now = self.memory.now()
        past = [name for name, until in self.memory.given.items() if until <= now][:limit]
        for name in past:
            del self.memory.given[name]
        return len(past)

    def add_key(self, key):
        return self.memory.keys.setdefault(key.name, key) == key

    def find_key(self, name):
        return self.memory.keys.get(name)

    def keys(self):
        return list(self.memory.keys.values())

    def remove_key(self, name):
        return self.memory.keys.pop(name, None) is not None


class Locked:
    """A part whose steps are taken one at a time: each is atomic then."""

    def __init__(self, part: Part) -> None:
        self._part = part

    def __getattr__(self, verb: str):
        step, lock = getattr(self._part, verb), self._part.memory.lock

        @wraps(step)
        def locked(*args, **options):
            with lock:
                return step(*args, **options)

        return locked


class DictStore(Store):
    shared = False

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.memory = Memory(terms)
        self.tickets = Locked(DictTickets(self.memory))
        self.sessions = Locked(DictSessions(self.memory))
        self.records = Locked(DictRecords(self.memory))
        self.erasures = Locked(DictErasures(self.memory))
        self.owners = Locked(DictOwners(self.memory))

    def now(self) -> int:
        return self.memory.now()

    def ping(self) -> None:
        pass

    def close(self) -> None:
        pass


def open_dict(url: str, *, prefix: str, terms: Terms) -> DictStore:
    return DictStore(terms)
