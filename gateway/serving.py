"""gunicorn's configuration, the same for `gateway serve` and the Procfile: `gunicorn --config python:gateway.serving`.

Two kinds of workers: gevent where everything waits in cooperative sockets, gthread wherever SQLite, a file lock or a
user's own code would block a whole gevent worker.
"""

from __future__ import annotations

import _thread
import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from gateway.config import Settings
from gateway.errors import ConfigurationError, GatewayError
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

_log = logging.getLogger("gateway")
_log.setLevel(logging.INFO)
_log.addHandler(logging.StreamHandler())
_log.handlers[0].setFormatter(logging.Formatter("[%(asctime)s] [%(process)d] [%(levelname)s] %(name)s: %(message)s"))
_log.propagate = False

bind = _settings.bind
workers = _settings.workers
threads = _settings.threads if worker_class == "gthread" else 1
# With fewer than twice the threads gunicorn keeps no connection alive.
worker_connections = max(4000, 2 * _settings.threads)
keepalive = 75 if worker_class == "gthread" else 5
# Ours comes first: what is still running after the grace is left to be settled, and the worker goes.
graceful_timeout = int(_settings.grace_seconds) + 15
timeout = graceful_timeout + 45
control_socket_disable = True
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - gunicorn makes its own file there
worker_tmp_dir = str(_SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else None


def on_starting(server: Any) -> None:
    """Everything that could stop a worker stops the start instead, in one line."""
    from gateway.assembly import assemble

    used = server.cfg.worker_class_str
    if used not in ("gevent", "gthread") or (used == "gevent") != (worker_class == "gevent"):
        sys.exit(f"gateway: the worker class {used!r} cannot be used: GATEWAY_WORKER chooses gevent or gthread.")
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


def worker_exit(server: Any, worker: Any) -> None:
    """Turns whose client has left come to their end too."""
    if application := getattr(worker, "wsgi", None):
        application.finish(_settings.grace_seconds)
