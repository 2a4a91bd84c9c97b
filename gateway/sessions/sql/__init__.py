"""Sessions in SQL: one code for memory, SQLite, PostgreSQL, MariaDB and MySQL."""

from gateway.sessions.sql.opening import open_file, open_memory, open_server, open_sqlite
from gateway.sessions.sql.store import SqlStore

__all__ = ["SqlStore", "open_file", "open_memory", "open_server", "open_sqlite"]
