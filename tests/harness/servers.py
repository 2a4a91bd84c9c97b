"""Real servers for the tests: each on a port of 127.0.0.1, as root or as a user, gone with the test process.

A crash, and a network that fails:

    with Postgres() as server:
        url = server.database("shop")
        with server.crashed():
            ...
        ...    # up again: the same port, the same data

    with Valkey(durable=True) as server, TcpProxy(server.port) as network:
        url = network.through(server.url())
        network.cut()
"""

from tests.harness.proxy import TcpProxy
from tests.harness.redis_servers import ClusterNode, Redis, Sentinel, Valkey
from tests.harness.server import RUNNING, Server, ServerError, ServerMissingError
from tests.harness.sql_servers import MariaDB, Postgres

__all__ = [
    "RUNNING",
    "ClusterNode",
    "MariaDB",
    "Postgres",
    "Redis",
    "Sentinel",
    "Server",
    "ServerError",
    "ServerMissingError",
    "TcpProxy",
    "Valkey",
]
