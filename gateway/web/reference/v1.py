"""The routes of /v1, which OpenAI's clients speak."""

from __future__ import annotations

from gateway import errors
from gateway.web import bodies, openai_objects, queries, replies
from gateway.web.reference import examples as shown
from gateway.web.routes import HELD, PROVIDER, SESSION, TURN, Access, Answer, Route

_GROUP = "OpenAI's API"

CREATE_RESPONSE = Route(
    name="v1_responses_create",
    method="POST",
    address="/v1/responses",
    access=Access.V1,
    group=_GROUP,
    summary="A response, in a session or by itself",
    answers=[
        Answer(
            200,
            openai_objects.Response,
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
    needs_posted=True,
    example={"model": "gpt-5.4-mini", "input": "Hello", "conversation": "user_alice_session"},
    headers=queries.ResponseHeaders,
    fails=TURN,
)

RETRIEVE_RESPONSE = Route(
    name="v1_responses_retrieve",
    method="GET",
    address="/v1/responses/<response_id>",
    access=Access.V1,
    group=_GROUP,
    summary="A response of the caller's own",
    answers=[Answer(200, openai_objects.Response, "The response.", shown.RESPONSE_OBJECT)],
    query=queries.IncludeQuery,
    fails=[errors.NotFoundError, *PROVIDER],
)

DELETE_RESPONSE = Route(
    name="v1_responses_delete",
    method="DELETE",
    address="/v1/responses/<response_id>",
    access=Access.V1,
    group=_GROUP,
    summary="Delete a response of the caller's own",
    answers=[
        Answer(
            200,
            openai_objects.DeletedResponse,
            "It is deleted.",
            {"id": shown.RESPONSE, "object": "response", "deleted": True},
        )
    ],
    fails=[errors.NotFoundError, *PROVIDER],
)

LIST_MODELS = Route(
    name="v1_responses_models",
    method="GET",
    address="/v1/models",
    access=Access.V1,
    group=_GROUP,
    summary="The provider's models",
    query=None,
    answers=[
        Answer(
            200,
            openai_objects.ModelList,
            "The models.",
            {"object": "list", "data": [{"id": "gpt-5.4-mini", "object": "model"}]},
        )
    ],
    fails=PROVIDER,
)

CREATE_CONVERSATION = Route(
    name="v1_conversations_create",
    method="POST",
    address="/v1/conversations",
    access=Access.V1,
    group=_GROUP,
    summary="A new conversation",
    answers=[Answer(200, openai_objects.Conversation, "The conversation.", shown.CONVERSATION_OBJECT)],
    more="`metadata.session_id` names it; one that is there already is given as it is.",
    body=bodies.CreateConversation,
    body_required=False,
    example={"metadata": {"session_id": "user_alice_session"}},
    fails=[*SESSION, errors.SessionExistsError, *HELD, *PROVIDER],
)

LIST_CONVERSATIONS = Route(
    name="v1_conversations_directory",
    method="GET",
    address="/v1/conversations",
    access=Access.V1,
    group=_GROUP,
    summary="The caller's conversations, newest made first",
    answers=[
        Answer(
            200,
            openai_objects.ConversationList,
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
    query=queries.ConversationsQuery,
    fails=SESSION,
)

READ_CONVERSATION = Route(
    name="v1_conversations_read",
    method="GET",
    address="/v1/conversations/<session_id>",
    access=Access.V1,
    group=_GROUP,
    summary="Read a conversation",
    answers=[Answer(200, openai_objects.Conversation, "The conversation.", shown.CONVERSATION_OBJECT)],
    fails=SESSION,
)

EDIT_CONVERSATION = Route(
    name="v1_conversations_edit",
    method="POST",
    address="/v1/conversations/<session_id>",
    access=Access.V1,
    group=_GROUP,
    summary="Change a conversation's metadata",
    answers=[Answer(200, openai_objects.Conversation, "The conversation as it is now.", shown.CONVERSATION_OBJECT)],
    body=bodies.EditConversation,
    example={"metadata": {"plan": "pro"}},
    fails=SESSION,
)

ERASE_CONVERSATION = Route(
    name="v1_conversations_erase",
    method="DELETE",
    address="/v1/conversations/<session_id>",
    access=Access.V1,
    group=_GROUP,
    summary="Erase a conversation",
    answers=[
        Answer(
            200,
            openai_objects.DeletedConversation,
            "It is erased.",
            {"id": "user_alice_session", "object": "conversation.deleted", "deleted": True},
        ),
        Answer(
            202,
            openai_objects.DeletedConversation,
            "It is begun; the sweeper finishes the job.",
            {"id": "user_alice_session", "object": "conversation.deleted", "deleted": False},
        ),
    ],
    more="With its items and the stored responses of its turns.",
    fails=[*SESSION, *HELD, *PROVIDER],
)

LIST_ITEMS = Route(
    name="v1_items_items",
    method="GET",
    address="/v1/conversations/<session_id>/items",
    access=Access.V1,
    group=_GROUP,
    summary="A conversation's items",
    answers=[Answer(200, replies.ItemList, "One page; empty for a conversation that was never seen.", shown.ITEMS)],
    query=queries.ConversationItemsQuery,
    fails=[*SESSION, *PROVIDER],
)

ADD_ITEMS = Route(
    name="v1_items_add",
    method="POST",
    address="/v1/conversations/<session_id>/items",
    access=Access.V1,
    group=_GROUP,
    summary="Add items to a conversation",
    answers=[Answer(200, replies.ItemList, "Those that were added.", shown.ITEMS)],
    more="The first write makes the conversation.",
    body=bodies.AddConversationItems,
    example={"items": [shown.MESSAGE]},
    query=queries.IncludeQuery,
    headers=queries.LostHeaders,
    fails=[*SESSION, errors.ContextLengthExceededError, *HELD, *PROVIDER],
)

READ_ITEM = Route(
    name="v1_items_item",
    method="GET",
    address="/v1/conversations/<session_id>/items/<item_id>",
    access=Access.V1,
    group=_GROUP,
    summary="One item of a conversation",
    answers=[Answer(200, replies.Item, "The item.", shown.KEPT_ITEM)],
    query=queries.IncludeQuery,
    fails=[*SESSION, *PROVIDER],
)

REMOVE_ITEM = Route(
    name="v1_items_remove",
    method="DELETE",
    address="/v1/conversations/<session_id>/items/<item_id>",
    access=Access.V1,
    group=_GROUP,
    summary="Remove one item of a conversation",
    answers=[Answer(200, openai_objects.Conversation, "The conversation, without it.", shown.CONVERSATION_OBJECT)],
    fails=[*SESSION, *HELD, *PROVIDER],
)
