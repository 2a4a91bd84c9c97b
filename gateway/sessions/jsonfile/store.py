"""The store of a JSON file: the mapping in the file; tickets, turn records and all else in SQLite beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.errors import SessionNotFoundError
from gateway.model import SessionKey, Status, TurnRecord
from gateway.sessions.jsonfile.file import SessionsFile
from gateway.sessions.jsonfile.sessions import JsonSessions
from gateway.sessions.jsonfile.snapshot import Draft
from gateway.sessions.sql.records import SqlRecords
from gateway.sessions.sql.store import Ledger
from gateway.sessions.store import Erasures, Store
from gateway.sessions.values import Erasure, Use

import sqlalchemy as sa
