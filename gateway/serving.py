"""gunicorn's configuration, the same for `gateway serve` and the Procfile: `gunicorn --config python:gateway.serving`.

Two kinds of workers: gevent where everything waits in cooperative sockets, gthread wherever SQLite, a file lock or a
user's own code would block a whole gevent worker.
"""

from __future__ import annotations

import _thread
import dataclasses
import logging
import os
import resource
import signal
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
from gateway.workers import worker_class_of

try:
    _settings = Settings.from_env(os.environ)
    worker_class = worker_class_of(_settings)
except ConfigurationError as exc:
    sys.exit(f"gateway: {exc}")

if worker_class == "gevent":
    from gevent import monkey

    # Before anything else opens a socket or makes a lock.
    monkey.patch_all()


_MOST_FILES = 65536


class GatewayLogger(Logger):  # type: ignore[misc]
    """gunicorn's own lines, in the form of ours, and without what a client sent."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logs.install(sys.stderr)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.formatter(getattr(handler, "stream", sys.stderr)))

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if msg.startswith("Invalid request from ip="):
            # What follows quotes it, and a broken header may be the one with the key.
            msg = msg.partition(": ")[0]
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if msg.startswith("Error handling request "):
            msg, args = "Error handling a request", ()
        super().exception(msg, *args, **kwargs)


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
bind = _settings.bind
workers = _settings.workers
threads = _settings.threads if worker_class == "gthread" else 1
# Idle clients are to keep nobody out. With fewer than twice the threads gunicorn keeps no connection alive.
worker_connections = max(min(16384, _allow_files() * 3 // 4), 2 * _settings.threads)
keepalive = 75 if worker_class == "gthread" else 5
# Ours comes first: what is still running after the grace is left to be settled, and the worker goes.
graceful_timeout = int(_settings.grace_seconds) + 15
timeout = graceful_timeout + 45
control_socket_disable = True
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - gunicorn makes its own file there
worker_tmp_dir = str(_SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else None
_metrics_parent = Path(worker_tmp_dir or tempfile.gettempdir())


def on_starting(server: Any) -> None:
    """Everything that could stop a worker stops the start instead, in one line."""
    # Before anything that counts is imported: by this it knows that it has to count for several processes.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(make_folder(_metrics_parent))
    from gateway.assembly import assemble

    used = server.cfg.worker_class_str
    if used not in ("gevent", "gthread") or (used == "gevent") != (worker_class == "gevent"):
        sys.exit(f"gateway: the worker class {used!r} cannot be used: GATEWAY_WORKER chooses gevent or gthread.")
    try:
        for address in server.cfg.address:
            # A Unix socket's is a path, that of a socket which systemd hands over a number.
            host = address[0] if isinstance(address, tuple) else f"unix:{address}"
            dataclasses.replace(_settings, host=host).check()
    except ConfigurationError as exc:
        sys.exit(f"gateway: {exc}")
    if server.cfg.preload_app:
        sys.exit("gateway: preloading cannot be used: every worker opens the store for itself.")
    try:
        gateway = assemble(_settings)
    except (ConfigurationError, GatewayError) as exc:
        sys.exit(f"gateway: {exc}")
    if not gateway.sessions.shared and server.cfg.workers > 1:
        logging.getLogger("gateway").warning(
            "the memory store is each worker's own: with %d workers a session is several", server.cfg.workers
        )
    gateway.close()


def post_worker_init(worker: Any) -> None:
    """On SIGTERM turns that wait are refused at once, so that they go to another process."""
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
