"""The routes of /v1, which OpenAI's clients speak."""

from __future__ import annotations

from gateway import errors
from gateway.web.api import bodies, replies
from gateway.web.api import examples as shown
from gateway.web.api.routes import BODY, DOOR, HELD, PROVIDER, QUERY, SESSION, TURN, Answer, Route

_GROUP = "OpenAI's API"

RESPONSES = [
    Route(
        "v1.responses.create",
        "POST",
        _GROUP,
        "A response, in a session or by itself",
        [
            Answer(
                200,
                replies.Response,
                "The response.",
                shown.RESPONSE_OBJECT,
                media={"text/event-stream": shown.RESPONSE_STREAM},
            )
        ],
        more="Every parameter of the provider's own POST /responses is passed through. With `conversation` it is a "
        "turn of that session, with the promises of POST /workflow; busy is 409 with `Retry-After`, which stock "
        "clients retry by themselves. With `stream` the answer is the response's own events; one that fails ends with "
        "an `error` or a `response.failed` event.",
        body=bodies.CreateResponse,
        example={"model": "gpt-5.4-mini", "input": "Hello", "conversation": "user_alice_session"},
        headers=["Idempotency-Key", "X-On-Busy", "X-On-Lost"],
        errors=[*DOOR, *TURN],
    ),
    Route(
        "v1.responses.retrieve",
        "GET",
        _GROUP,
        "A response of the caller's own",
        [Answer(200, replies.Response, "The response.", shown.RESPONSE_OBJECT)],
        query=bodies.IncludeQuery,
        errors=[*DOOR, *QUERY, errors.NotFoundError, *PROVIDER],
    ),
    Route(
        "v1.responses.delete",
        "DELETE",
        _GROUP,
        "Delete a response of the caller's own",
        [
            Answer(
                200,
                replies.DeletedResponse,
                "It is deleted.",
                {"id": shown.RESPONSE, "object": "response", "deleted": True},
            )
        ],
        errors=[*DOOR, *QUERY, errors.NotFoundError, *PROVIDER],
    ),
    Route(
        "v1.responses.models",
        "GET",
        _GROUP,
        "The provider's models",
        [
            Answer(
                200,
                replies.ModelList,
                "The models.",
                {"object": "list", "data": [{"id": "gpt-5.4-mini", "object": "model"}]},
            )
        ],
        errors=[*DOOR, *PROVIDER],
    ),
]

CONVERSATIONS = [
    Route(
        "v1.conversations.create",
        "POST",
        _GROUP,
        "A new conversation",
        [Answer(200, replies.Conversation, "The conversation.", shown.CONVERSATION_OBJECT)],
        more="`metadata.session_id` names it; one that is there already is given as it is.",
        body=bodies.CreateConversation,
        body_required=False,
        example={"metadata": {"session_id": "user_alice_session"}},
        errors=[*DOOR, *BODY, *SESSION, errors.SessionExistsError, *HELD, *PROVIDER],
    ),
    Route(
        "v1.conversations.directory",
        "GET",
        _GROUP,
        "The caller's conversations, newest use first",
        [
            Answer(
                200,
                replies.ConversationList,
                "One page.",
                {
                    "object": "list",
                    "data": [shown.CONVERSATION_OBJECT],
                    "first_id": "user_alice_session",
                    "last_id": "user_alice_session",
                    "has_more": False,
                },
            )
        ],
        query=bodies.ConversationsQuery,
        errors=[*DOOR, *QUERY, *SESSION],
    ),
    Route(
        "v1.conversations.read",
        "GET",
        _GROUP,
        "Read a conversation",
        [Answer(200, replies.Conversation, "The conversation.", shown.CONVERSATION_OBJECT)],
        errors=[*DOOR, *QUERY, *SESSION],
    ),
    Route(
        "v1.conversations.edit",
        "POST",
        _GROUP,
        "Change a conversation's metadata",
        [Answer(200, replies.Conversation, "The conversation as it is now.", shown.CONVERSATION_OBJECT)],
        body=bodies.EditConversation,
        example={"metadata": {"plan": "pro"}},
        errors=[*DOOR, *BODY, *SESSION],
    ),
    Route(
        "v1.conversations.erase",
        "DELETE",
        _GROUP,
        "Erase a conversation",
        [
            Answer(
                200,
                replies.DeletedConversation,
                "It is erased.",
                {"id": "user_alice_session", "object": "conversation.deleted", "deleted": True},
            ),
            Answer(
                202,
                replies.DeletedConversation,
                "It is begun; the sweeper finishes the job.",
                {"id": "user_alice_session", "object": "conversation.deleted", "deleted": False},
            ),
        ],
        more="With its items and the stored responses of its turns.",
        errors=[*DOOR, *QUERY, *SESSION, *HELD, *PROVIDER],
    ),
]

ITEMS = [
    Route(
        "v1.items.items",
        "GET",
        _GROUP,
        "A conversation's items",
        [Answer(200, replies.ItemList, "One page; empty for a conversation that was never seen.", shown.ITEMS)],
        query=bodies.ConversationItemsQuery,
        errors=[*DOOR, *QUERY, *SESSION, *PROVIDER],
    ),
    Route(
        "v1.items.add",
        "POST",
        _GROUP,
        "Add items to a conversation",
        [Answer(200, replies.ItemList, "Those that were added.", shown.ITEMS)],
        more="The first write makes the conversation.",
        body=bodies.AddConversationItems,
        example={"items": [shown.MESSAGE]},
        query=bodies.IncludeQuery,
        headers=["X-On-Lost"],
        errors=[*DOOR, *BODY, *SESSION, errors.ContextLengthExceededError, *HELD, *PROVIDER],
    ),
    Route(
        "v1.items.item",
        "GET",
        _GROUP,
        "One item of a conversation",
        [Answer(200, replies.Item, "The item.", shown.KEPT_ITEM)],
        query=bodies.IncludeQuery,
        errors=[*DOOR, *QUERY, *SESSION, *PROVIDER],
    ),
    Route(
        "v1.items.remove",
        "DELETE",
        _GROUP,
        "Remove one item of a conversation",
        [Answer(200, replies.Conversation, "The conversation, without it.", shown.CONVERSATION_OBJECT)],
        errors=[*DOOR, *QUERY, *SESSION, *HELD, *PROVIDER],
    ),
]
