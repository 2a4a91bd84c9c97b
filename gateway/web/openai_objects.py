"""What routes of /v1 give: OpenAI's own objects, with the client's word for its conversation."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from gateway.web.fields import Metadata, SessionId


class ConversationReference(TypedDict):
    id: SessionId


class Response(TypedDict):
    """The provider's response object, with the session's id as its conversation's."""

    id: str
    object: Literal["response"]
    status: NotRequired[str]
    model: NotRequired[str]
    conversation: NotRequired[ConversationReference | None]
    output: NotRequired[list[dict[str, Any]]]
    usage: NotRequired[dict[str, Any] | None]


class DeletedResponse(TypedDict):
    id: str
    object: Literal["response"]
    deleted: Literal[True]


class Model(TypedDict):
    id: str
    object: Literal["model"]


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[Model]


class Conversation(TypedDict):
    """A session as OpenAI's clients know conversations."""

    id: SessionId
    object: Literal["conversation"]
    created_at: int
    """In seconds since 1970."""
    metadata: Metadata | None


class ConversationList(TypedDict):
    object: Literal["list"]
    data: list[Conversation]
    first_id: SessionId | None
    last_id: SessionId | None
    """`after` of the next page."""
    has_more: bool


class DeletedConversation(TypedDict):
    id: SessionId
    object: Literal["conversation.deleted"]
    deleted: bool
    """False when the sweeper still has to finish the erasure."""


OPEN = (Response, Model, ModelList)
"""They may have other fields too: what is the provider's own is passed on as it is."""
