"""The application: a gateway and Flask, joined in this one place."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from flask import Flask

from gateway import audit
from gateway.assembly import assemble, open_auth
from gateway.auth import Authenticate
from gateway.config import Settings
from gateway.lifecycle.erasures import Eraser
from gateway.lifecycle.sweeping import Sweeper
from gateway.providers.base import Provider
from gateway.sessions import SessionManager
from gateway.turn import Gateway
from gateway.turn.worker import Readers
from gateway.web import (
    access,
    console,
    errors,
    history,
    lifecycle,
    limits,
    operations,
    request_log,
    requests,
    turns,
    v1,
    workflow,
)
from gateway.web import sessions as session_routes
from gateway.web.reference import pages as reference
from gateway.web.routes import check_routes


class GatewayApp(Flask):
    """The Flask application and what it serves."""

    gateway: Gateway
    settings: Settings
    authenticate: Authenticate
    turn_slots: limits.TurnSlots
    readers: Readers
    readiness: operations.Readiness
    eraser: Eraser
    sweeper: Sweeper

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """As it is: none of ours is a coroutine, and Flask would look five times a request."""
        return func

    def stop(self) -> None:
        """Ends the waiting of turns that have not begun, with a 503; turns under way go on."""
        self.sweeper.stop()
        self.gateway.sessions.stop_waiting()

    def finish(self, seconds: float) -> bool:
        """Waits for the turns under way, those whose client has left included, then gives everything back."""
        self.sweeper.stop()
        done = self.readers.drain(seconds)
        self.sweeper.join(min(seconds, 5))
        self.gateway.close()
        return done


def create_app(
    settings: Settings | None = None,
    sessions: SessionManager | None = None,
    provider: Provider | None = None,
) -> GatewayApp:
    """The application on these settings (those of the environment when left out), store and provider."""
    settings = settings or Settings.from_env(os.environ)
    app = GatewayApp("gateway", static_folder=None)
    app.settings = settings
    app.gateway = assemble(settings, sessions=sessions, provider=provider)
    # Not with the first turn, so that its renewals are seen from the beginning.
    app.gateway.sessions.leases.start()
    app.authenticate = open_auth(settings, app.gateway.sessions.store.owners.find_key)
    app.turn_slots = limits.TurnSlots(settings.turn_limit, settings.principal_turn_limit)
    app.readers = Readers()
    app.readiness = operations.Readiness(app.gateway.check)
    app.eraser = Eraser(app.gateway.sessions, app.gateway.provider)
    app.sweeper = Sweeper(app.eraser)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # What is at no address of ours is not led to another one.
    app.url_map.merge_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    audit.write_to(settings.audit_log)
    requests.install(app)
    access.install(app)
    limits.install(app, settings)
    errors.install(app)
    request_log.install(app)
    ours = (workflow, session_routes, history, turns, lifecycle, v1, operations)
    for module in (*ours, reference, console):
        app.register_blueprint(module.blueprint)
    check_routes(app)
    app.sweeper.start()
    return app
