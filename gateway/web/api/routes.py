"""How a route is described, and which errors belong to what a route does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway import errors

Errors = Sequence[type[errors.GatewayError]]


@dataclass(frozen=True)
class Answer:
    """A reply that is no error: its status, its body's type, and what it may look like."""

    status: int
    kind: Any
    """A type out of `replies`; None for no body."""
    meaning: str
    example: Any = None
    media: Mapping[str, str] = field(default_factory=dict)
    """Other media types, each with an example of its text."""
    has_etag: bool = False


@dataclass(frozen=True)
class Route:
    """One method of one address."""

    endpoint: str
    """As `app.url_map` has it."""
    method: str
    group: str
    summary: str
    answers: Sequence[Answer]
    more: str = ""
    """What else there is to say, in Markdown's plainest form."""
    body: Any = None
    """A type out of `bodies`; None for no body."""
    body_required: bool = True
    example: Any = None
    """Of the body."""
    query: Any = None
    """A type out of `bodies`."""
    headers: Sequence[str] = ()
    """Those of `HEADERS` that the route looks at."""
    errors: Errors = ()


# --- What goes wrong where ---------------------------------------------------------------------------------

DOOR: Errors = (errors.UnauthorizedError, errors.ForbiddenError, errors.RateLimitedError, errors.StoreUnavailableError)
"""Before any route that is not open to everybody."""

ORIGIN: Errors = (errors.ForbiddenError,)
"""Before any route: a browser sends it for a page that is not ours."""

QUERY: Errors = (errors.InvalidRequestError, errors.UnknownFieldError)

BODY: Errors = (
    errors.InvalidJSONError,
    errors.InvalidRequestError,
    errors.UnknownFieldError,
    errors.BodyTooLargeError,
    errors.UnsupportedMediaTypeError,
)

SESSION: Errors = (errors.InvalidSessionIdError, errors.SessionNotFoundError, errors.NotFoundError)

PROVIDER: Errors = (
    errors.ProviderRejectedError,
    errors.ConversationGoneError,
    errors.ProviderRateLimitedError,
    errors.InsufficientQuotaError,
    errors.ProviderError,
    errors.ProviderUnavailableError,
    errors.ProviderTimeoutError,
)

HELD: Errors = (errors.TurnBusyError, errors.QueueFullError, errors.TurnLostError, errors.ShuttingDownError)
"""Of a route that waits for the session's turn."""

TURN: Errors = (
    errors.InvalidSessionIdError,
    errors.NotFoundError,
    errors.IdempotencyUnsupportedError,
    errors.IdempotencyKeyReusedError,
    errors.ContextLengthExceededError,
    errors.ToolOutputMissingError,
    errors.UserMismatchError,
    *BODY,
    *HELD,
    *PROVIDER,
)


# --- Where a route is, and what it is told beside query and body -------------------------------------------

_SESSION_ID = "The session's id."

PLACES: dict[str, tuple[str, dict[str, Any]]] = {
    "session_id": (_SESSION_ID, {"type": "string", "minLength": 1, "maxLength": 200, "example": "user_alice_session"}),
    "name": ("The workflow's name.", {"type": "string", "minLength": 1, "example": "coach"}),
    "item_id": ("The item's id.", {"type": "string", "minLength": 1, "example": "msg_1"}),
    "turn_id": ("The turn's id.", {"type": "string", "minLength": 1, "example": "turn_1"}),
    "response_id": ("The response's id.", {"type": "string", "minLength": 1, "example": "resp_1"}),
}
"""The variable parts of addresses."""

HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Idempotency-Key": (
        "1 to 255 visible characters. The same key and body within 24 hours give the same turn's reply, without a "
        "second turn.",
        {"type": "string", "pattern": "^[!-~]{1,255}$", "minLength": 1, "maxLength": 255},
    ),
    "If-Match": (
        "Only if the session's `ETag` is this one still; 412 `version_mismatch` otherwise.",
        {"type": "string"},
    ),
    "X-On-Busy": (
        "What to do while another turn of the session runs: `wait` (default) or `reject`.",
        {"type": "string", "enum": ["wait", "reject"]},
    ),
    "X-On-Lost": (
        "What to do when the provider no longer has the conversation: `error` (default) or `restart`.",
        {"type": "string", "enum": ["error", "restart"]},
    ),
}
