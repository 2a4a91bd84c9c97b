"""The store of a JSON file: the mapping in the file; tickets, turn records and all else in SQLite beside it."""

from __future__ import annotations

