"""The hosted service for tests: the local provider's raw wire over real HTTP, with faults to order.

    python -m tests.harness.upstream --port 0 --db PATH     prints its port, then serves until its parent dies

Faults are ordered with `POST /_faults`, one object or a list of them:

    {"match": "POST /v1/responses", "times": 1, "fault": "status", "status": 429, "headers": {…}, "error": {…}}

`match` is a method and a path, `*` for any text; `times` is how many requests it meets (null: all). The faults:

    status      answers with `status`, `headers` and `error`
    hangup      closes the connection without an answer; with `"after": true` the request was carried out first
    truncate    closes it after `events` events; with `"after": true` the response was carried out to its end
    failed      ends a response with response.failed (`error`) after `events` events
    flat_error  ends it with a flat error event after `events` events
    newer       says what this page does not know: the `frames` ([type, data]) after `events` events of a response, and
                `members` in the response that ends it
    silence     accepts, and goes on only at `POST /_release`
    pause       the same after `events` events of a response
    locked, not_found    the service's own words for these

`GET /_log` tells the requests seen, how many of them are waiting for a release, and for each conversation its turns and
the most responses that were asked of it at once. `DELETE /_faults` withdraws what is left, and forgets the log.
"""

import argparse
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import requests
from flask import Flask, Response, g, request

from gateway.providers.base import StreamEvent
from gateway.providers.local import LocalProvider, WireError
from gateway.providers.local.service import fold_response
from gateway.providers.local.wire import conversation_locked, conversation_not_found
from tests.harness.server import Server
from tests.harness.upstream_faults import ERRORS, FAILURE, Faults, Log, failure
from tests.harness.upstream_http import HangUp, WSGIServer

JSON = dict[str, Any]


def create_upstream(provider: LocalProvider | str | Path, *, key: str | None = None) -> Flask:
    """The service over HTTP; with a `key`, for those who bring it."""
    if not isinstance(provider, LocalProvider):
        provider = LocalProvider(str(provider))
    service = provider.service
    faults, log = Faults(), Log()
    app = Flask("upstream")
    app.config.update(PROPAGATE_EXCEPTIONS=True)
    app.url_map.merge_slashes = False

    @app.before_request
    def begin() -> Response | None:
        if request.path.startswith("/_"):
            return None
        g.started = time.time()
        g.entry = log.add(
            {
                "method": request.method,
                "path": request.path,
                "query": request.args.to_dict(),
                "status": None,
                "at": g.started,
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "body": request.get_json(silent=True, force=True),
            }
        )
        g.fault = faults.take(f"{request.method} {request.path}")
        match g.fault.get("fault"):
            case "status":
                status = g.fault["status"]
                error = {"type": "server_error", "param": None, "code": None, "message": FAILURE["message"]}
                error |= ERRORS.get(status, {}) | g.fault.get("error", {})
                return _json({"error": error}, status, g.fault.get("headers"))
            case "hangup" if not g.fault.get("after"):
                raise HangUp
            case "silence":
                faults.wait(request.environ.get("upstream.connection"))
            case "locked":
                raise conversation_locked()
            case "not_found":
                raise conversation_not_found(_conversation_of(g.entry["body"]) or request.path.split("/")[3])
        if key is not None and request.headers.get("authorization") != f"Bearer {key}":
            raise WireError(401, "Incorrect API key provided.", code="invalid_api_key")
        return None

    @app.after_request
    def end(response: Response) -> Response:
        if request.path.startswith("/_"):
            return response
        if g.fault.get("fault") == "hangup":
            response.get_data()
            raise HangUp
        g.entry["status"] = response.status_code
        response.headers["x-request-id"] = f"req_{secrets.token_hex(16)}"
        response.headers["openai-processing-ms"] = str(int((time.time() - g.started) * 1000))
        return response

    @app.errorhandler(WireError)
    def refuse(error: WireError) -> Response:
        if error.__cause__ is not None:
            # Nobody ordered it: the log says why.
            print(error.status, repr(error.__cause__), file=sys.stderr, flush=True)
        return _json(error.body(), error.status, error.headers)

    @app.errorhandler(404)
    @app.errorhandler(405)
    def unknown(error: Any) -> Response:
        return refuse(WireError(error.code, f"Invalid URL ({request.method} {request.path})"))

    # --- Conversations and items ---------------------------------------------------------------------------

    @app.post("/v1/conversations")
    def create_conversation() -> Response:
        return _json(service.create_conversation(_body()))

    @app.get("/v1/conversations/<conversation_id>")
    def retrieve_conversation(conversation_id: str) -> Response:
        return _json(service.retrieve_conversation(conversation_id))

    @app.post("/v1/conversations/<conversation_id>")
    def update_conversation(conversation_id: str) -> Response:
        return _json(service.update_conversation(conversation_id, _body()))

    @app.delete("/v1/conversations/<conversation_id>")
    def delete_conversation(conversation_id: str) -> Response:
        return _json(service.delete_conversation(conversation_id))

    @app.get("/v1/conversations/<conversation_id>/items")
    def list_items(conversation_id: str) -> Response:
        wanted = {name: request.args[name] for name in ("limit", "order", "after") if name in request.args}
        return _json(service.list_items(conversation_id, **wanted))

    @app.post("/v1/conversations/<conversation_id>/items")
    def add_items(conversation_id: str) -> Response:
        return _json(service.add_items(conversation_id, _body()))

    @app.get("/v1/conversations/<conversation_id>/items/<item_id>")
    def retrieve_item(conversation_id: str, item_id: str) -> Response:
        return _json(service.retrieve_item(conversation_id, item_id))

    @app.delete("/v1/conversations/<conversation_id>/items/<item_id>")
    def delete_item(conversation_id: str, item_id: str) -> Response:
        return _json(service.delete_item(conversation_id, item_id))

    # --- Responses -----------------------------------------------------------------------------------------

    @app.post("/v1/responses")
    def create_response() -> Response:
        body = _body()
        connection = request.environ.get("upstream.connection")
        if not body.get("stream"):
            # Without a stream, a failure is a failure.
            fault = g.fault | ({"fault": "failed"} if g.fault.get("fault") == "flat_error" else {})
            return _json(fold_response(carry_out(body, fault, connection)))
        events = carry_out(body, g.fault, connection)
        # What is refused before the first event is a plain error.
        first = next(events)
        return Response(_frames(first, events), mimetype="text/event-stream")

    def carry_out(body: JSON, fault: JSON, connection: socket.socket | None) -> Iterator[StreamEvent]:
        conversation_id = _conversation_of(body)
        with log.asking(conversation_id), closing(service.stream_response(body)) as events:
            for number, event in enumerate(spoilt(events, fault, connection)):
                if event.type in ("response.completed", "response.incomplete"):
                    log.count_turn(conversation_id)
                if fault.get("fault") == "truncate" and number >= fault.get("events", 2):
                    if fault.get("after"):
                        continue
                    raise HangUp
                yield event
        if fault.get("fault") == "truncate":
            raise HangUp

    def spoilt(events: Iterator[StreamEvent], fault: JSON, connection: socket.socket | None) -> Iterator[StreamEvent]:
        kind = fault.get("fault")
        response: JSON = {}
        for number, event in enumerate(events):
            if number == fault.get("events", 2):
                if kind == "pause":
                    faults.wait(connection)
                elif kind in ("failed", "flat_error"):
                    yield failure(kind, number, response, fault.get("error", {}))
                    return
                elif kind == "newer":
                    yield from (StreamEvent(name, data.encode()) for name, data in fault.get("frames", ()))
            if number == 0:
                response = event.json()["response"]
            if kind == "newer" and event.type == "response.completed":
                told = event.json()
                event = StreamEvent(event.type, orjson.dumps(told | {"response": told["response"] | fault["members"]}))
            yield event

    @app.get("/v1/responses/<response_id>")
    def retrieve_response(response_id: str) -> Response:
        return _json(service.retrieve_response(response_id))

    @app.delete("/v1/responses/<response_id>")
    def delete_response(response_id: str) -> Response:
        return _json(service.delete_response(response_id))

    @app.get("/v1/models")
    def list_models() -> Response:
        return _json(service.list_models())

    # --- The tests' own side -------------------------------------------------------------------------------

    @app.post("/_faults")
    def order_faults() -> Response:
        faults.order(request.get_json(force=True))
        return _json({})

    @app.delete("/_faults")
    def withdraw_faults() -> Response:
        faults.withdraw()
        log.clear()
        return _json({})

    @app.post("/_release")
    def release() -> Response:
        faults.release()
        return _json({})

    @app.get("/_log")
    def show_log() -> Response:
        return _json({**log.as_dict(), "waiting": faults.waiting})

    return app


def _json(body: JSON, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, content_type="application/json")


def _body() -> JSON:
    try:
        body = orjson.loads(request.get_data() or b"{}")
    except orjson.JSONDecodeError:
        raise WireError(
            400,
            "Invalid body: failed to parse JSON value. Please check the value to ensure it is valid JSON. (Common "
            "errors include trailing commas, missing closing brackets, missing quotation marks, etc.)",
            code="invalid_json",
        ) from None
    if not isinstance(body, dict):
        raise WireError(400, "Invalid body: expected an object.", code="invalid_type")
    return body


def _conversation_of(body: Any) -> str:
    conversation = body.get("conversation") if isinstance(body, dict) else None
    return str(conversation.get("id") if isinstance(conversation, dict) else conversation or "")


def _frames(first: StreamEvent, rest: Iterator[StreamEvent]) -> Iterator[bytes]:
    yield _frame(first)
    for event in rest:
        yield _frame(event)


def _frame(event: StreamEvent) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event.type.encode(), event.data)


class UpstreamProcess(Server):
    """The service as a process of its own, in a folder of its own or on a database that others use too."""

    name = "upstream"

    def __init__(
        self, *, database: str | Path | None = None, key: str | None = None, lease_seconds: float = 10
    ) -> None:
        super().__init__()
        self.database = database or self.folder / "upstream.db"
        self.key = key
        self._lease_seconds = lease_seconds

    @property
    def url(self) -> str:
        """The base URL of its API."""
        return f"http://127.0.0.1:{self.port}/v1"

    def faults(self, *faults: JSON) -> None:
        """Orders these."""
        requests.post(self._own("/_faults"), json=list(faults), timeout=10).raise_for_status()

    def withdraw(self) -> None:
        """No more faults, and an empty log."""
        requests.delete(self._own("/_faults"), timeout=10).raise_for_status()

    def release(self) -> None:
        """Lets go on what a `silence` or a `pause` holds up."""
        requests.post(self._own("/_release"), timeout=10).raise_for_status()

    def seen(self) -> JSON:
        """What `GET /_log` tells."""
        answer: JSON = requests.get(self._own("/_log"), timeout=10).json()
        return answer

    def command(self) -> list[str | Path]:
        command: list[str | Path] = [sys.executable, "-m", "tests.harness.upstream"]
        command += ["--port", str(self.port), "--db", self.database, "--lease", str(self._lease_seconds)]
        return command + (["--key", self.key] if self.key else [])

    def environ(self) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        return {**super().environ(), "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}

    def ping(self) -> None:
        self.seen()

    def _own(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def main() -> None:
    options = argparse.ArgumentParser(prog="tests.harness.upstream")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--db", required=True)
    options.add_argument("--key")
    options.add_argument("--lease", type=float, default=10.0)
    given = options.parse_args()
    provider = LocalProvider(given.db, lease_seconds=given.lease)
    server = WSGIServer(create_upstream(provider, key=given.key), given.port)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
