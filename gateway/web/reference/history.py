"""The routes of a session's hosted history."""

from __future__ import annotations

from gateway import errors
from gateway.web import bodies, queries, replies
from gateway.web.reference import examples as shown
from gateway.web.routes import HELD, PROVIDER, SESSION, Access, Answer, Route

LIST_ITEMS = Route(
    name="items_items",
    method="GET",
    address="/sessions/<session_id>/items",
    access=Access.PRINCIPAL,
    group="History",
    summary="Read the hosted history",
    answers=[Answer(200, replies.ItemList, "One page.", shown.ITEMS)],
    query=queries.ItemsQuery,
    fails=[*SESSION, *PROVIDER],
)

ADD_ITEMS = Route(
    name="items_add",
    method="POST",
    address="/sessions/<session_id>/items",
    access=Access.PRINCIPAL,
    group="History",
    summary="Add items",
    answers=[Answer(200, replies.ItemList, "Those that were added, as the provider keeps them.", shown.ITEMS)],
    more="Any number of up to 2,000; the first make the session. An error says in `items_added` how many were "
    "added before it.",
    body=bodies.AddItems,
    example={"items": [shown.MESSAGE]},
    fails=[*SESSION, errors.ContextLengthExceededError, *HELD, *PROVIDER],
)

POP_ITEM = Route(
    name="items_pop",
    method="POST",
    address="/sessions/<session_id>/items/pop",
    access=Access.PRINCIPAL,
    group="History",
    summary="Take the newest item out",
    answers=[Answer(200, replies.Item, "The item, which is no longer in the history.", shown.KEPT_ITEM)],
    body=bodies.Nothing,
    body_required=False,
    fails=[*SESSION, *HELD, *PROVIDER],
)

CLEAR_ITEMS = Route(
    name="items_clear",
    method="DELETE",
    address="/sessions/<session_id>/items",
    access=Access.PRINCIPAL,
    group="History",
    summary="Remove every item",
    answers=[
        Answer(
            200,
            replies.ClearedItems,
            "How many there were.",
            {"session_id": "user_alice_session", "items_deleted": 4},
        ),
        Answer(
            202,
            replies.ClearedItems,
            "There are too many to remove one by one while somebody waits: the session goes on in a new "
            "conversation without any, and the old one is erased in the background. So many are gone already.",
            {"session_id": "user_alice_session", "items_deleted": 75},
        ),
    ],
    fails=[*SESSION, *HELD, *PROVIDER],
)

REMOVE_ITEM = Route(
    name="items_remove",
    method="DELETE",
    address="/sessions/<session_id>/items/<item_id>",
    access=Access.PRINCIPAL,
    group="History",
    summary="Remove one item",
    answers=[
        Answer(
            200,
            replies.RemovedItem,
            "It is removed.",
            {"session_id": "user_alice_session", "item_id": shown.ITEM, "deleted": True},
        )
    ],
    fails=[*SESSION, *HELD, *PROVIDER],
)

TRANSCRIPT = Route(
    name="transcript_transcript",
    method="GET",
    address="/sessions/<session_id>/transcript",
    access=Access.PRINCIPAL,
    group="History",
    summary="The conversation to read, or to keep",
    answers=[
        Answer(
            200,
            replies.Transcript,
            "The whole conversation, as a file.",
            {"object": "transcript", "session": shown.SESSION, "items": [shown.KEPT_ITEM]},
            media={
                "text/markdown": "# user_alice_session\n\n## User\n\nGive me a beginner workout\n",
                "text/plain": "user_alice_session\n\nUser:\nGive me a beginner workout\n",
            },
        )
    ],
    query=queries.TranscriptQuery,
    fails=[*SESSION, *PROVIDER],
)
