"""What routes give: the bodies of replies. A test holds every real reply against these."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from gateway.model import Status, TurnState
from gateway.web.fields import Count, Data, Generation, Metadata, SessionId, Time, UserId

# --- Errors ------------------------------------------------------------------------------------------------


class PendingCall(TypedDict):
    """A tool call of the model's that waits for its output."""

    call_id: str
    name: str | None
    arguments: str | None
    """JSON, as the model wrote it."""


class ErrorObject(TypedDict):
    message: str
    """What went wrong, for people."""
    type: str
    """OpenAI's family of the error, such as `invalid_request_error`."""
    param: str | None
    """The field, query parameter or header that is wrong."""
    code: str
    """What went wrong, for programs."""
    request_id: str
    """What to search the gateway's log for; `X-Request-Id` too."""
    pending_calls: NotRequired[list[PendingCall]]
    """With `tool_output_missing`: the calls that wait for their outputs."""
    items_added: NotRequired[Count]
    """How many of the request's items were added before the error."""
    provider_status: NotRequired[int]
    """What the provider answered, if it was the provider that refused."""
    provider_code: NotRequired[str | None]
    """The provider's own code."""


class Error(TypedDict):
    """Every error has this shape, the one that OpenAI's clients read."""

    error: ErrorObject


class StreamErrorObject(ErrorObject):
    status: int
    """The HTTP status that the error would have had before the stream began."""
    retry_after: float | None
    """After how many seconds it may be tried again."""


class StreamError(TypedDict):
    """The `error` event, which ends a stream."""

    error: StreamErrorObject


# --- Turns -------------------------------------------------------------------------------------------------


class Usage(TypedDict):
    input_tokens: Count
    output_tokens: Count
    total_tokens: Count


class TurnReply(TypedDict):
    """What a turn came to. Also the `done` event, which ends a stream."""

    session_id: SessionId
    conversation_id: str
    """The provider's own id of the conversation."""
    response_id: str | None
    turn_id: str
    output_text: str
    """The reply's words."""
    status: Literal["completed", "incomplete", "requires_action"]
    """`requires_action`: the next turn has to bring the outputs of `pending_calls`."""
    created: bool
    """This turn made the session."""
    recovered: bool
    """The provider had lost the conversation, and this turn began a new one."""
    replayed: bool
    """The turn took place before, under the same `Idempotency-Key`."""
    generation: Generation
    """Grows with each new conversation of the session."""
    model: str | None
    usage: Usage | None
    pending_calls: list[PendingCall]
    incomplete_reason: NotRequired[str]
    """Why the reply breaks off, when it is `incomplete`."""


class SessionEvent(TypedDict):
    """The `session` event, the first of a stream: the turn is held, and the mapping is saved."""

    session_id: SessionId
    conversation_id: str
    turn_id: str
    created: bool


class DeltaEvent(TypedDict):
    """A `delta` event: words of the reply, as they come."""

    text: str


class Turn(TypedDict):
    """What is recorded of a turn: never its texts."""

    turn_id: str
    response_id: str | None
    state: TurnState
    started_at: Time | None
    finished_at: Time | None
    usage: Usage | None


class TurnList(TypedDict):
    object: Literal["list"]
    data: list[Turn]
    has_more: bool
    next: str | None
    """`after` of the next page."""


class TurnWithReply(Turn):
    """A turn's record and, once it has one, its reply."""

    session_id: SessionId
    conversation_id: NotRequired[str]
    output_text: NotRequired[str | None]
    """Null when the provider no longer has the reply."""
    status: NotRequired[Literal["completed", "incomplete", "requires_action"]]
    created: NotRequired[bool]
    recovered: NotRequired[bool]
    replayed: NotRequired[bool]
    generation: NotRequired[int]
    model: NotRequired[str | None]
    pending_calls: NotRequired[list[PendingCall]]
    incomplete_reason: NotRequired[str]


class CancelledCalls(TypedDict):
    session_id: SessionId
    cancelled: list[PendingCall]


# --- Sessions ----------------------------------------------------------------------------------------------


class Session(TypedDict):
    session_id: SessionId
    conversation_id: str
    """The provider's own id of the conversation."""
    created_at: Time
    last_used: Time
    """When its last turn was; reads do not count."""
    expires_at: Time | None
    status: Status
    user_id: UserId | None
    data: Data | None
    """Null when it cannot be read now: its key is missing."""
    metadata: Metadata | None
    unreadable: NotRequired[Literal[True]]
    """Only there when `data` or `metadata` cannot be read."""
    generation: Generation
    """How many conversations it has had."""
    turns: Count


class SessionList(TypedDict):
    object: Literal["list"]
    data: list[Session]
    has_more: bool
    next: str | None
    """`after` of the next page."""


class ForkedSession(Session):
    items_copied: Count
    items_skipped: Count
    """What the provider does not take as input, such as calls without output."""


class ResetSession(ForkedSession):
    old_conversation: Literal["erased", "erasing", "kept"]
    """What became of it; `erasing`: the sweeper finishes the job."""


class Receipt(TypedDict):
    """What was erased."""

    session_id: SessionId
    conversation_id: str
    items_deleted: Count
    conversation_deleted: bool
    responses_deleted: Count
    erased_at: Time


class Erasing(TypedDict):
    """An erasure that is begun: the session takes no turn any more, and the sweeper finishes the job."""

    session_id: SessionId
    conversation_id: str
    status: Literal["erasing"]
    items_deleted: Count
    reason: str
    """`more_items`, or the code of the error that stopped it."""


class UserErasure(TypedDict):
    object: Literal["list"]
    data: list[Receipt]
    erased: Count
    erasing: Count
    """How many sessions the sweeper still has to finish."""


# --- Items -------------------------------------------------------------------------------------------------


class Item(TypedDict):
    """An item as the provider keeps it: a message, a tool call, its output…"""

    id: str
    type: str
    status: NotRequired[str | None]
    role: NotRequired[str]
    """Of a message."""
    content: NotRequired[list[dict[str, Any]] | None]
    """Of a message: its parts."""


class ItemList(TypedDict):
    object: Literal["list"]
    data: list[Item]
    first_id: str | None
    last_id: str | None
    """`after` of the next page."""
    has_more: bool


class ClearedItems(TypedDict):
    session_id: SessionId
    items_deleted: Count


class RemovedItem(TypedDict):
    session_id: SessionId
    item_id: str
    deleted: Literal[True]


class Transcript(TypedDict):
    object: Literal["transcript"]
    session: Session
    items: list[Item]


# --- Operations --------------------------------------------------------------------------------------------


class Health(TypedDict):
    status: Literal["ok"]


class Ready(TypedDict):
    status: Literal["ready"]
    store: NotRequired[str]
    """For admins, and callers on the gateway's own host; so are the others."""
    provider: NotRequired[str]
    auth: NotRequired[str]


OPEN = (ErrorObject, StreamErrorObject, Item)
"""They may have other fields too: what is the provider's own is passed on as it is."""
