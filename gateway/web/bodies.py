"""What routes take in the bodies of requests. Each type checks, carries and describes itself: see `fields.checked`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from gateway.errors import InvalidRequestError
from gateway.model import JSON, new_session_id
from gateway.web.fields import (
    MOST_ITEMS,
    Asked,
    Data,
    Items,
    Metadata,
    OnBusy,
    OnLost,
    SessionId,
    Text,
    UserId,
    check_printable,
)


class Nothing(Asked, frozen=True):
    """No field: the body may be left out."""


class InputItem(Struct, kw_only=True):
    """An item as the provider's Responses API takes it: a message, a tool's output, a picture, a file… Its other fields
    are passed on as they are; an `id` is not taken, for at the provider it would read another conversation's item."""

    type: str | UnsetType = UNSET
    """`message` when left out. `item_reference` is not taken."""
    role: Literal["user", "assistant", "system", "developer"] | UnsetType = UNSET
    """Of a message."""
    content: str | list[JSON] | UnsetType = UNSET
    """Of a message: a text, or a list of parts."""
    call_id: str | UnsetType = UNSET
    """Of a tool's output: the call that it answers."""
    output: str | list[JSON] | UnsetType = UNSET
    """Of a tool's output."""


# --- Turns -------------------------------------------------------------------------------------------------


class Workflow(Asked, frozen=True, kw_only=True):
    """One turn of a session. Exactly one of `input_as_text` and `input` is needed; an unknown field is an error."""

    session_id: SessionId = field(default_factory=new_session_id)
    """The client's own id of its conversation. Left out, a new one is made and returned."""
    input_as_text: Annotated[Text, Meta(examples=["Give me a beginner workout"])] | UnsetType = UNSET
    """The user's message."""
    input: Text | Items | UnsetType = UNSET
    """The user's message, or a list of Responses input items: pictures, files, outputs of tools."""
    on_busy: OnBusy = "wait"
    """What to do while another turn of the session runs: `wait`, or `reject` with 409 `turn_busy`."""
    on_lost: OnLost = "error"
    """What to do when the provider no longer has the conversation: 410 `conversation_gone`, or a new one."""
    user_id: UserId | None = None
    """Taken when the session is made; later another one is 409 `user_mismatch`."""
    metadata: Metadata | None = None
    """Taken when the session is made."""
    data: Data | None = None
    """Taken when the session is made."""
    stream: bool = False
    """Answer with server-sent events; so does `Accept: text/event-stream`."""

    def __post_init__(self) -> None:
        check_printable(self.user_id, "user_id")
        if (self.input is UNSET) == (self.input_as_text is UNSET):
            raise InvalidRequestError("Exactly one of input_as_text and input is needed.", param="input_as_text")

    @property
    def text(self) -> str:
        """The user's message, where it is no list of items."""
        found = self.input_as_text if self.input is UNSET else self.input
        assert isinstance(found, str)
        return found


# --- Sessions ----------------------------------------------------------------------------------------------


class MakeSession(Asked, frozen=True, kw_only=True):
    """A session up front."""

    session_id: SessionId = field(default_factory=new_session_id)
    """The session's id. Left out, one is made."""
    user_id: UserId | None = None
    """Whose session it is."""
    data: Data | None = None
    """The client's own, to be read by workflows and changed by PATCH."""
    metadata: Metadata | None = None
    """Labels of the client's own. The gateway keeps them; the provider is not told."""

    def __post_init__(self) -> None:
        check_printable(self.user_id, "user_id")


class EditSession(Asked, frozen=True, kw_only=True):
    """What a client may change of a session."""

    data: Data | UnsetType = UNSET
    """Merged into what is there, one level deep; null removes a key."""
    metadata: Metadata | UnsetType = UNSET
    """Put in place of what is there."""
    status: Literal["active", "completed", "abandoned"] | UnsetType = UNSET


class AddItems(Asked, frozen=True, kw_only=True):
    """What is added to a history."""

    items: Items
    """Any number: the gateway sends them in the provider's portions of 20."""


class Reset(Asked, frozen=True, kw_only=True):
    """What becomes of the history, and of the old conversation."""

    keep_history: bool = False
    """Copy the history into the new conversation."""
    erase_old: bool = True
    """Erase the old conversation at the provider."""


class Fork(Asked, frozen=True, kw_only=True):
    """A second session."""

    session_id: SessionId = field(default_factory=new_session_id)
    """The second session's id. Left out, one is made."""
    user_id: UserId | None = None
    """Whose the second session is; left out, it is the first one's user's."""

    def __post_init__(self) -> None:
        check_printable(self.user_id, "user_id")


class Rename(Asked, frozen=True, kw_only=True):
    """The session's new id, and the user of one that had none."""

    session_id: SessionId
    """The session's new id; the old one is free from then on."""
    user_id: UserId | None = None
    """The user of a session that had none: the anonymous visitor logs in."""

    def __post_init__(self) -> None:
        check_printable(self.user_id, "user_id")


class Login(Asked, frozen=True, kw_only=True):
    """What a browser logs in with."""

    # Browsers drop a cookie above 4 KiB.
    key: Annotated[str, Meta(min_length=1, max_length=3500, examples=["gw_web_…"], extra={"characters": "printable"})]
    """An API key or a token."""

    def __post_init__(self) -> None:
        check_printable(self.key, "key")


# --- /v1 ---------------------------------------------------------------------------------------------------


class ConversationName(Struct, frozen=True):
    """A session by its id."""

    id: SessionId


# What the provider alone checks, so that it is refused in the provider's own words: here it is described only.
PassedText = Annotated[Any, Meta(extra_json_schema={"type": "string"})]
PassedFlag = Annotated[Any, Meta(extra_json_schema={"anyOf": [{"type": "boolean"}, {"type": "null"}]})]
PassedInput = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}, {"type": "null"}]
        }
    ),
]


class CreateResponse(Asked, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The body of the provider's POST /responses. What is not named here is passed on untouched: `model`, `tools`,
    `instructions`, `text`, `reasoning`, `temperature`…"""

    conversation: SessionId | ConversationName | None = None
    """The session. The first turn makes it. Without one the response is a plain pass-through."""
    input: PassedInput = None
    """A text, or a list of items. Items may be given by id if they are the caller's own."""
    model: PassedText = None
    stream: bool | None = None
    """Answer with the response's own server-sent events."""
    previous_response_id: str | None = None
    """A response of the caller's own; not together with `conversation`."""
    store: PassedFlag = None
    """False: no response is kept at the provider, so that nothing can be replayed by an `Idempotency-Key`."""
    background: PassedFlag = None
    """Not together with `conversation`."""

    def __post_init__(self) -> None:
        if isinstance(self.input, list) and len(self.input) > MOST_ITEMS:
            raise InvalidRequestError(f"input has more than {MOST_ITEMS:,} items.", param="input")

    @property
    def session_id(self) -> str | None:
        """The session that `conversation` names."""
        return self.conversation.id if isinstance(self.conversation, ConversationName) else self.conversation


class CreateConversation(Asked, frozen=True, kw_only=True):
    """A conversation up front."""

    items: Annotated[list[JSON], Meta(max_length=MOST_ITEMS)] | None = None
    """At most 20 items that the conversation begins with."""
    metadata: Metadata | None = None
    """`session_id` in it names the conversation; it is made up otherwise."""


class EditConversation(Asked, frozen=True, kw_only=True):
    """What a client may change of a conversation."""

    metadata: Metadata | None
    """Put in place of what is there."""


class AddConversationItems(Asked, frozen=True, kw_only=True):
    """What is added to a conversation."""

    items: Annotated[list[JSON], Meta(max_length=MOST_ITEMS)]
    """At most 20."""
