"""Every error that the gateway can answer with: each class knows its HTTP status and its code.

The body is the same everywhere (`GatewayError.as_dict`), and it is the shape that OpenAI clients read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class GatewayError(Exception):
    """Something that the caller is told about, in one shape."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "invalid_request_error"
    # Whether the same request may be sent again because its turn surely did not start.
    should_retry: ClassVar[bool] = False

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
        upstream_request_id: str | None = None,
        in_doubt: bool = False,
    ) -> None:
        super().__init__(message or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0])
        self.message = str(self)
        self.param = param
        self.retry_after = retry_after
        self.details = dict(details or {})
        self.upstream_request_id = upstream_request_id
        # True when what was asked for may have been carried out all the same.
        self.in_doubt = in_doubt

    def as_dict(self, request_id: str | None = None) -> dict[str, Any]:
        """The error object: the five fixed fields, then what this error adds (such as `pending_calls`)."""
        return {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
            "request_id": request_id,
            **self.details,
        }


class DefectError(GatewayError):
    """The gateway failed in a way that it should not; its log has more under this request id."""


# --- Before anything is served -----------------------------------------------------------------------------


class ConfigurationError(Exception):
    """A setting, a URL or a missing driver that stops the start: one line that says what to do."""


# --- 400: the request is wrong -----------------------------------------------------------------------------


class InvalidRequestError(GatewayError):
    """The request is not valid."""

    status, code = 400, "invalid_request"


class InvalidJSONError(InvalidRequestError):
    """The body is not valid JSON."""

    code = "invalid_json"


class InvalidSessionIdError(InvalidRequestError):
    """A session id has 1 to 200 characters out of letters, digits and . _ ~ : @ + = , | -"""

    code = "invalid_session_id"


class UnknownFieldError(InvalidRequestError):
    """The request has a field that the gateway does not know."""

    code = "unknown_field"


class IdempotencyUnsupportedError(InvalidRequestError):
    """No stored response would yield this turn's reply, so an Idempotency-Key can promise nothing here."""

    code = "idempotency_unsupported"


class ContextLengthExceededError(InvalidRequestError):
    """The conversation and this input no longer fit the model's context window."""

    code = "context_length_exceeded"


class ProviderRejectedError(InvalidRequestError):
    """The provider found the request's own input wrong."""

    code = "provider_rejected"


# --- 401 to 405: who, and where ----------------------------------------------------------------------------


class UnauthorizedError(GatewayError):
    """A valid key or token is needed."""

    status, code, type = 401, "unauthorized", "authentication_error"


class ForbiddenError(GatewayError):
    """This key or token may not do that."""

    status, code, type = 403, "forbidden", "permission_error"


class NotFoundError(GatewayError):
    """There is nothing at this address."""

    status, code = 404, "not_found"


class SessionNotFoundError(NotFoundError):
    """No such session."""

    code = "session_not_found"


class MethodNotAllowedError(GatewayError):
    """This address does not take this method."""

    status, code = 405, "method_not_allowed"


# --- 409 to 422: the state of things -----------------------------------------------------------------------


class ConflictError(GatewayError):
    """The request does not fit the state that the session is in."""

    status = 409


class TurnBusyError(ConflictError):
    """Another turn of this session is running."""

    code, should_retry = "turn_busy", True


class QueueFullError(ConflictError):
    """Too many turns are waiting already."""

    code, should_retry = "queue_full", True


class ToolOutputMissingError(ConflictError):
    """The conversation waits for the outputs of tool calls."""

    code = "tool_output_missing"


class UserMismatchError(ConflictError):
    """The session belongs to another user_id."""

    code = "user_mismatch"


class SessionExistsError(ConflictError):
    """There is a session of that name already."""

    code = "session_exists"


class TurnLostError(ConflictError):
    """The turn was cut off, and it is not certain whether it took place."""

    code = "turn_lost"


class ConversationGoneError(GatewayError):
    """The provider no longer has this session's conversation."""

    status, code = 410, "conversation_gone"


class StreamGoneError(GatewayError):
    """What was said meanwhile can no longer be given on this stream. The turn goes on, and its reply can be fetched."""

    status, code = 410, "stream_gone"


class VersionMismatchError(GatewayError):
    """The session was changed since it was read."""

    status, code = 412, "version_mismatch"


class BodyTooLargeError(GatewayError):
    """The body is too large."""

    status, code = 413, "body_too_large"


class UnsupportedMediaTypeError(GatewayError):
    """The body must be sent as application/json."""

    status, code = 415, "unsupported_media_type"


class IdempotencyKeyReusedError(GatewayError):
    """This Idempotency-Key was used with another body."""

    status, code = 422, "idempotency_key_reused"


# --- 429 and 5xx: not now, or not by us --------------------------------------------------------------------


class RateLimitedError(GatewayError):
    """Too many requests in too short a time."""

    status, code, type, should_retry = 429, "rate_limited", "rate_limit_error", True


class ProviderRateLimitedError(GatewayError):
    """The provider's rate limit is reached."""

    status, code, type, should_retry = 429, "provider_rate_limited", "rate_limit_error", True


class InsufficientQuotaError(GatewayError):
    """The provider account's quota is used up."""

    status, code, type = 429, "insufficient_quota", "insufficient_quota"


class ProviderError(GatewayError):
    """The provider failed."""

    status, code, type = 502, "provider_error", "server_error"


class UnreadableAnswerError(ProviderError):
    """What the provider sent cannot be read."""

    def __init__(self) -> None:
        # What was asked for may have been carried out all the same.
        super().__init__(in_doubt=True)


class StoreUnavailableError(GatewayError):
    """The session store does not answer."""

    status, code, type, should_retry = 503, "store_unavailable", "server_error", True


class ShuttingDownError(GatewayError):
    """This process of the gateway is stopping; another one takes the request."""

    status, code, type, should_retry = 503, "shutting_down", "server_error", True


class ProviderUnavailableError(GatewayError):
    """The provider cannot be reached."""

    status, code, type, should_retry = 503, "provider_unavailable", "server_error", True


class ProviderTimeoutError(GatewayError):
    """The provider fell silent."""

    status, code, type = 504, "provider_timeout", "server_error"
