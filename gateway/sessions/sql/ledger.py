"""Turn records, idempotency keys and erasures in SQL: with the queue, everything of a store but the mapping itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.errors import InvalidRequestError
from gateway.liveness import Liveness
from gateway.model import ApiKey, SessionKey, TurnRecord, TurnState
from gateway.sessions.base import Erasure, ResponseOwner
from gateway.sessions.sql.api_keys import ApiKeys
from gateway.sessions.sql.given import Given
from gateway.sessions.sql.pruning import Pruner
from gateway.sessions.sql.queue import SqlQueue, of_session
from gateway.sessions.sql.records import ENDED, WRITTEN, decode_record, encode_erasure, encode_record, key_is_old
from gateway.sessions.sql.schema import Tables

__all__ = ["SqlLedger", "of_session"]

_EVER = 2**63 - 1


class SqlLedger(SqlQueue):
    """The steps on turn records and erasures. A subclass adds those on the mapping, out of `_check`, `_end` and their
    like: the ones that take a `work` run inside `self._database.transaction()` or `.atomically(step)`."""

    def __init__(self, database: Database, tables: Tables, alive: Liveness, **options: Any) -> None:
        super().__init__(database, tables, alive, **options)
        self._pruner = Pruner(tables.turns, self._tickets)
        self._given = Given(tables.given)
        self._api_keys = ApiKeys(tables.keys)

    # --- Turn records --------------------------------------------------------------------------------------

    def _write(self, record: TurnRecord) -> None:
        if not self._database.change(self._records.write, encode_record(record, WRITTEN)):
            raise self._lost(record.turn_id)

    def _end(self, record: TurnRecord) -> None:
        """Writes the record's end and frees the session; a second time changes nothing."""
        if not self._database.change(self._records.end, encode_record(record, ENDED)):
            self._check_ended(record)

    def _check_ended(self, record: TurnRecord) -> None:
        """Nothing when the record was ended by this very call before, whose answer was lost; `self._lost` otherwise."""
        row = self._row(record.turn_id)
        if row is None or row.place is not None or (row.state, row.finished_at) != (record.state, record.finished_at):
            raise self._lost(record.turn_id)

    def _recall(self, tenant: str, idempotency_key: str) -> TurnRecord | None:
        rows = self._database.rows(self._records.by_key, {"of_tenant": tenant, "key": idempotency_key})
        return next((self._record(row) for row in rows if not key_is_old(row, self.now())), None)

    def _turn(self, key: SessionKey, turn_id: str) -> TurnRecord | None:
        row = self._row(turn_id)
        return None if row is None else self._record(row)

    def _turns(self, key: SessionKey, limit: int, after: str | None) -> Sequence[TurnRecord]:
        before = _EVER
        if after is not None:
            row = self._row(after)
            if row is None or row.fence is None or (row.tenant, row.session_id) != key:
                raise InvalidRequestError("There is no such turn.", param="after")
            before = row.fence
        rows = self._database.rows(self._records.newest, {**of_session(key), "before": before, "most": limit})
        return [decode_record(row, live=self._lives(row)) for row in rows]

    def _settle(self, record: TurnRecord) -> bool:
        self._queue(record.key)  # a dead holder is taken out first
        return self._database.change(self._records.settle, encode_record(record, ENDED)) > 0

    def _response_ids(self, key: SessionKey, conversation_id: str) -> Sequence[str]:
        rows = self._database.rows(self._records.responses, {**of_session(key), "conversation": conversation_id})
        return [row[0] for row in rows]

    def _set_undelivered(self, record: TurnRecord, undelivered: bool) -> bool:
        mark = {"ticket": record.turn_id, "mark": undelivered, **of_session(record.key)}
        # Not a second time: who claims the mark must be told once that it is theirs.
        return self._database.change(self._records.set_undelivered, mark, repeat=False) > 0

    # --- Whose ids these are, and who has a key ------------------------------------------------------------

    def _turn_of_response(self, tenant: str, response_id: str) -> ResponseOwner | None:
        rows = self._database.rows(self._records.of_response, {"of_tenant": tenant, "response": response_id})
        return ResponseOwner(rows[0].session_id, rows[0].conversation_id, rows[0].workflow) if rows else None

    def _remember(self, tenant: str, given_ids: Sequence[str], until: int) -> None:
        self._given.remember(self._database, tenant, given_ids, until)

    def _remembered(self, tenant: str, given_ids: Sequence[str], now: int) -> set[str]:
        return self._given.remembered(self._database, tenant, given_ids, now)

    def _add_key(self, key: ApiKey) -> bool:
        return self._api_keys.add(self._database, key)

    def _find_key(self, name: str) -> ApiKey | None:
        return self._api_keys.find(self._database, name)

    def _list_keys(self) -> Sequence[ApiKey]:
        return self._api_keys.all(self._database)

    def _remove_key(self, name: str) -> bool:
        return self._api_keys.remove(self._database, name)

    def _row(self, turn_id: str) -> sa.Row[Any] | None:
        return next(iter(self._database.rows(self._records.by_ticket, {"ticket": turn_id})), None)

    def _record(self, row: sa.Row[Any]) -> TurnRecord | None:
        live = self._lives(row)
        return None if row.state == TurnState.WAITING and not live else decode_record(row, live=live)

    # --- What a mapping is made of: each inside a transaction ----------------------------------------------

    def _check(self, work: sa.Connection, *turn_ids: str) -> None:
        """Nothing when these turns hold their sessions, and until the transaction's end nobody can take them away;
        `self._lost` otherwise."""
        for turn_id in turn_ids:
            if work.execute(self._tickets.check, {"ticket": turn_id}).fetchone() is None:
                raise self._lost(turn_id)

    def _add_erasure(self, work: sa.Connection, erasure: Erasure) -> None:
        """Adds it, or makes the one that is there `whole` if this one is."""
        if not work.execute(self._records.widen_erasure, {**_of_erasure(erasure), "wider": erasure.whole}).rowcount:
            work.execute(self._records.add_erasure, encode_erasure(erasure))

    def _remove_erasure(self, work: sa.Connection, erasure: Erasure) -> None:
        """Removes it with the turn records of its conversation; with `whole` all of its session's, except those by
        which another conversation is still to be erased. A second time changes nothing."""
        self._scrub_owed = True
        removed = work.execute(self._records.remove_erasure, _of_erasure(erasure)).rowcount
        if removed and erasure.whole:
            self._drop_turns(work, SessionKey(erasure.tenant, erasure.session_id))
        else:  # done before, perhaps: a session of that name may have come since
            work.execute(self._records.drop_of_conversation, _of_erasure(erasure))

    def _drop_turns(self, work: sa.Connection, key: SessionKey) -> None:
        """Removes the ended turn records of a session, except those by which a conversation is still to be erased."""
        self._scrub_owed = True
        work.execute(self._records.drop_unless_awaited, of_session(key))

    def _move_turns(self, work: sa.Connection, key: SessionKey, session_id: str) -> None:
        """Gives the ended turn records, and the erasures that need them, to another session of the tenant."""
        self._scrub_owed = True
        work.execute(self._records.move, {**of_session(key), "to": session_id})
        work.execute(self._records.move_erasures, {**of_session(key), "to": session_id})

    def _erasures(self, limit: int) -> Sequence[Erasure]:
        return [
            Erasure(row.tenant, row.session_id, row.conversation_id, row.requested_at, bool(row.whole))
            for row in self._database.rows(self._records.erasures, {"most": limit})
        ]

    def _prune(self, limit: int, existing: Callable[[Collection[SessionKey]], Collection[SessionKey]]) -> None:
        """Thins and deletes turn records past their time, looking at `limit` at most. `existing` says which of some
        sessions there are."""
        self._pruner.prune(self._database, self.now(), limit, bury=self._buried, existing=existing)
        self._given.prune(self._database, self.now(), limit)
        self._scrub()

    def _buried(self, row: sa.Row[Any]) -> bool:
        if self._lives(row):
            return False
        self._bury(row)
        return True


def _of_erasure(erasure: Erasure) -> dict[str, str]:
    return {**of_session(SessionKey(erasure.tenant, erasure.session_id)), "conversation": erasure.conversation_id}
