"""What routes take: the bodies and queries of requests. The routes read from these types which fields they know."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from typing_extensions import TypedDict

from gateway.model import Status
from gateway.web.api.words import Data, Metadata, Schema, SessionId, Time, UserId

Limit = Annotated[int, Schema(minimum=1, maximum=100, default=20)]
Cursor = Annotated[str, Schema(minLength=1, maxLength=1000)]


class InputItem(TypedDict):
    """An item as the provider's Responses API takes it: a message, a tool's output, a picture, a file… Its other fields
    are passed on as they are; an `id` is not taken, for at the provider it would read another conversation's item."""

    type: NotRequired[str]
    """`message` when left out. `item_reference` is not taken."""
    role: NotRequired[Literal["user", "assistant", "system", "developer"]]
    """Of a message."""
    content: NotRequired[str | list[dict[str, Any]]]
    """Of a message: a text, or a list of parts."""
    call_id: NotRequired[str]
    """Of a tool's output: the call that it answers."""
    output: NotRequired[str | list[dict[str, Any]]]
    """Of a tool's output."""


# --- Turns -------------------------------------------------------------------------------------------------


class Workflow(TypedDict, total=False):
    """One turn of a session. Exactly one of `input_as_text` and `input` is needed; an unknown field is an error."""

    input_as_text: Annotated[str, Schema(minLength=1, examples=["Give me a beginner workout"])]
    """The user's message."""
    input: Annotated[str, Schema(minLength=1)] | Annotated[list[InputItem], Schema(minItems=1, maxItems=2000)]
    """The user's message, or a list of Responses input items: pictures, files, outputs of tools."""
    session_id: SessionId
    """The client's own id of its conversation. Left out, a new one is made and returned."""
    stream: bool
    """Answer with server-sent events; so does `Accept: text/event-stream`."""
    on_busy: Literal["wait", "reject"]
    """What to do while another turn of the session runs: `wait` (default), or `reject` with 409 `turn_busy`."""
    on_lost: Literal["error", "restart"]
    """What to do when the provider no longer has the conversation: 410 `conversation_gone` (default), or a new one."""
    user_id: UserId | None
    """Taken when the session is made; later another one is 409 `user_mismatch`."""
    metadata: Metadata | None
    """Taken when the session is made."""
    data: Data | None
    """Taken when the session is made."""


class Nothing(TypedDict):
    """No field: the body may be left out."""


# --- Sessions ----------------------------------------------------------------------------------------------


class MakeSession(TypedDict, total=False):
    session_id: SessionId
    """The session's id. Left out, one is made."""
    user_id: UserId | None
    """Whose session it is."""
    data: Data | None
    """The client's own, to be read by workflows and changed by PATCH."""
    metadata: Metadata | None
    """Labels of the client's own. The gateway keeps them; the provider is not told."""


class EditSession(TypedDict, total=False):
    data: Data
    """Merged into what is there, one level deep; null removes a key."""
    metadata: Metadata
    """Put in place of what is there."""
    status: Literal["active", "completed", "abandoned"]


class AddItems(TypedDict):
    items: Annotated[list[InputItem], Schema(minItems=1, maxItems=2000)]
    """Any number: the gateway sends them in the provider's portions of 20."""


class Reset(TypedDict, total=False):
    keep_history: bool
    """Copy the history into the new conversation (default: false)."""
    erase_old: bool
    """Erase the old conversation at the provider (default: true)."""


class Fork(TypedDict, total=False):
    session_id: SessionId
    """The second session's id. Left out, one is made."""
    user_id: UserId | None
    """Whose the second session is; left out, it is the first one's user's."""


class Rename(TypedDict):
    session_id: SessionId
    """The session's new id; the old one is free from then on."""
    user_id: NotRequired[UserId | None]
    """The user of a session that had none: the anonymous visitor logs in."""


class Login(TypedDict):
    key: Annotated[str, Schema(minLength=1, maxLength=3500, examples=["gw_web_…"])]
    """An API key or a token."""


# --- /v1 ---------------------------------------------------------------------------------------------------


class ConversationName(TypedDict):
    id: SessionId


class CreateResponse(TypedDict):
    """The body of the provider's POST /responses. What is not named here is passed on untouched: `model`, `tools`,
    `instructions`, `text`, `reasoning`, `temperature`…"""

    conversation: NotRequired[SessionId | ConversationName | None]
    """The session. The first turn makes it. Without one the response is a plain pass-through."""
    input: NotRequired[str | list[dict[str, Any]] | None]
    """A text, or a list of items. Items may be given by id if they are the caller's own."""
    model: NotRequired[str]
    stream: NotRequired[bool | None]
    """Answer with the response's own server-sent events."""
    previous_response_id: NotRequired[str | None]
    """A response of the caller's own; not together with `conversation`."""
    store: NotRequired[bool | None]
    """False: no response is kept at the provider, so that nothing can be replayed by an `Idempotency-Key`."""
    background: NotRequired[bool | None]
    """Not together with `conversation`."""


class CreateConversation(TypedDict, total=False):
    items: list[dict[str, Any]] | None
    """At most 20 items that the conversation begins with."""
    metadata: Metadata | None
    """`session_id` in it names the conversation; it is made up otherwise."""


class EditConversation(TypedDict):
    metadata: Metadata | None
    """Put in place of what is there."""


class AddConversationItems(TypedDict):
    items: list[dict[str, Any]]
    """At most 20."""


# --- Queries -----------------------------------------------------------------------------------------------


class SessionsQuery(TypedDict, total=False):
    limit: Limit
    after: Cursor
    """`next` of the page before."""
    user_id: UserId
    """Sessions of this user only."""
    status: Status
    prefix: Annotated[str, Schema(maxLength=200)]
    """How the session's id begins."""
    used_before: Time
    """Sessions that were last used before this time."""


class EraseQuery(TypedDict, total=False):
    keep_conversation: Literal["true", "false"]
    """`true` forgets the session only, and leaves the provider's conversation as it is."""


class UserQuery(TypedDict):
    user_id: UserId
    """Whose sessions are erased."""


class ItemsQuery(TypedDict, total=False):
    limit: Limit
    order: Literal["asc", "desc"]
    """`asc` (default): oldest first."""
    after: Cursor
    """`last_id` of the page before."""


class TurnsQuery(TypedDict, total=False):
    limit: Limit
    after: Cursor
    """`next` of the page before."""


class TranscriptQuery(TypedDict, total=False):
    format: Literal["markdown", "text", "json"]
    """`markdown` when left out."""


class ConversationsQuery(TypedDict, total=False):
    limit: Limit
    after: SessionId
    """`last_id` of the page before."""


class IncludeQuery(TypedDict, total=False):
    include: list[str]
    """What of the provider's is to be included, as it names it."""


class ConversationItemsQuery(IncludeQuery, total=False):
    limit: Limit
    order: Literal["desc", "asc"]
    """`desc` (default): newest first."""
    after: Annotated[str, Schema(minLength=1, maxLength=1000)]
    """`last_id` of the page before."""


OPEN = (InputItem, CreateResponse)
"""They may have other fields too. Everything else that has an unknown field is refused."""
