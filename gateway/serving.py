"""gunicorn's configuration, the same for `gateway serve` and the Procfile: `gunicorn --config python:gateway.serving`.

Two kinds of workers: gevent where everything waits in cooperative sockets, gthread wherever SQLite, a file lock or a
user's own code would block a whole gevent worker.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import dataclasses
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from gateway import logs
from gateway.config import Settings
from gateway.errors import ConfigurationError, GatewayError
from gateway.metrics.workers import forget_worker, make_folder
from gateway.workers import WORKER_CLASSES, worker_kind_of

try:
    _settings = Settings.from_env(os.environ)
    _kind = worker_kind_of(_settings)
except ConfigurationError as exc:
    sys.exit(f"gateway: {exc}")

if _kind == "gevent":
    from gevent import monkey

    # Before anything else opens a socket or makes a lock.
    monkey.patch_all()


_MOST_FILES = 65536

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""


class GatewayLogger(Logger):  # type: ignore[misc]
    """gunicorn's own lines, in the form of ours."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logs.install(sys.stderr)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.formatter(getattr(handler, "stream", sys.stderr)))


def _allow_files() -> int:
    """Raises the number of files that a worker may open, and returns it. A turn has two, its client's socket and the
    provider's, and most systems give 1024 until they are asked for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


logger_class = GatewayLogger
worker_class = WORKER_CLASSES[_kind]
bind = _settings.bind
workers = _settings.workers
threads = _settings.threads if _kind == "gthread" else 1
# Idle clients are to keep nobody out. With fewer than twice the threads gunicorn keeps no connection alive.
worker_connections = max(min(16384, _allow_files() * 3 // 4), 2 * _settings.threads)
keepalive = 75 if _kind == "gthread" else 5
# Ours comes first: what is still running after the grace is left to be settled, and the worker goes.
graceful_timeout = int(_settings.grace_seconds) + 15
timeout = graceful_timeout + 45
control_socket_disable = True
# No header stands for what the server itself says of a request.
forwarder_headers = ""


def _quickest_folder() -> str | None:
    """In memory, if files can be made there; otherwise gunicorn's own choice."""
    try:
        tempfile.TemporaryFile(dir=_SHARED_MEMORY).close()
    except OSError:
        return None
    return _SHARED_MEMORY


_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - every file in there is one of its own
worker_tmp_dir = _quickest_folder()
_metrics_parent = Path(worker_tmp_dir or tempfile.gettempdir())


def on_starting(server: Any) -> None:
    """Everything that could stop a worker stops the start instead, in one line."""
    # Before anything that counts is imported: by this it knows that it has to count for several processes.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(make_folder(_metrics_parent))
    from gateway import audit
    from gateway.assembly import assemble, open_auth

    if (used := server.cfg.worker_class_str) != worker_class:
        sys.exit(f"gateway: the worker class {used!r} cannot be used: GATEWAY_WORKER chooses gevent or gthread.")
    try:
        for address in server.cfg.address:
            # A Unix socket's is a path, that of a socket which systemd hands over a number.
            host = address[0] if isinstance(address, tuple) else f"unix:{address}"
            dataclasses.replace(_settings, host=host).check()
            _check_address(address)
    except ConfigurationError as exc:
        sys.exit(f"gateway: {exc}")
    if server.cfg.preload_app:
        sys.exit("gateway: preloading cannot be used: every worker opens the store for itself.")
    try:
        gateway = assemble(_settings)
        open_auth(_settings, gateway.sessions.store.owners.find_key)
        audit.write_to(_settings.audit_log)
    except (ConfigurationError, GatewayError) as exc:
        sys.exit(f"gateway: {exc}")
    if not gateway.sessions.shared and server.cfg.workers > 1:
        logging.getLogger("gateway").warning(
            "the memory store is each worker's own: with %d workers a session is several", server.cfg.workers
        )
    gateway.close()


def _check_address(address: Any) -> None:
    """`ConfigurationError` for a host and a port that cannot be listened on. gunicorn would try five times, and tell
    each."""
    if not isinstance(address, tuple) or "GUNICORN_FD" in os.environ:
        return
    host, port = address[:2]
    try:
        family, kind, protocol, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(found)
            trial.listen()
    except OSError as exc:
        raise ConfigurationError(
            f"HOST={host!r} and PORT={port} cannot be used: it takes an address of this machine and a port that nobody "
            f"listens on ({exc.strerror or exc})."
        ) from exc


def _give_memory_back() -> None:
    """Has what is large returned to the system as soon as it is free. Left alone the C library keeps, for each of many
    threads, what one long reply once cost."""
    with contextlib.suppress(OSError, AttributeError):  # another library has no such settings, or no such habits
        for parameter in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            ctypes.CDLL(None).mallopt(parameter, 128 * 1024)


def post_worker_init(worker: Any) -> None:
    """On SIGTERM turns that wait are refused at once, so that they go to another process."""
    _give_memory_back()
    previous: Any = signal.getsignal(signal.SIGTERM)

    def stop() -> None:
        worker.wsgi.stop()

    def leave() -> None:
        time.sleep(_settings.grace_seconds)
        os._exit(0)

    def stopped(number: int, frame: FrameType | None) -> None:
        previous(number, frame)
        # Not in the handler itself: the interrupted code may hold the locks that this needs. And not by
        # threading.Thread, whose start waits: gevent's own loop, where a signal may arrive, must never wait.
        _thread.start_new_thread(stop, ())
        _thread.start_new_thread(leave, ())

    signal.signal(signal.SIGTERM, stopped)


def child_exit(server: Any, worker: Any) -> None:
    forget_worker(worker.pid)


def worker_exit(server: Any, worker: Any) -> None:
    """Turns whose client has left come to their end too."""
    if application := getattr(worker, "wsgi", None):
        application.finish(_settings.grace_seconds)
