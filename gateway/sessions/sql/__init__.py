"""Sessions in SQL: one code for memory, SQLite, PostgreSQL, MariaDB and MySQL.

`SqlLedger` keeps tickets, turn records and erasures; `SqlSessionManager` the mapping too.
"""

from gateway.sessions.sql.ledger import SqlLedger
from gateway.sessions.sql.mapping import SqlSessionManager
from gateway.sessions.sql.opening import open_file, open_memory, open_server, open_sqlite

__all__ = ["SqlLedger", "SqlSessionManager", "open_file", "open_memory", "open_server", "open_sqlite"]
