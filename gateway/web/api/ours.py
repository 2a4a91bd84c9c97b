"""The gateway's own routes: turns, sessions, histories, and what operators ask."""

from __future__ import annotations

from gateway import errors
from gateway.web.api import bodies, replies
from gateway.web.api import examples as shown
from gateway.web.api.routes import BODY, DOOR, HELD, ORIGIN, PROVIDER, QUERY, SESSION, TURN, Answer, Route

_EVENTS = (
    "With `stream`, or `Accept: text/event-stream`, the same turn comes as server-sent events: one `session` as soon "
    "as the turn is held and the mapping saved, a `delta` for each few words, then exactly one `done` with the whole "
    "reply, or one `error`. Each event has a rising `id:`; a comment line every 15 seconds keeps proxies awake. A turn "
    "that is refused before all that is a plain error."
)

TURNS = [
    Route(
        "workflow.run",
        "POST",
        "Turns",
        "One turn of a session",
        [
            Answer(
                200,
                replies.TurnReply,
                "The reply, once the turn is recorded.",
                shown.REPLY,
                media={"text/event-stream": shown.STREAM},
            )
        ],
        more="The first turn makes the session. The turns of one session run one at a time, first come first served. "
        "When the client hangs up the turn still runs to its end, and GET /sessions/ID/turns/TURN gives its reply. "
        + _EVENTS,
        body=bodies.Workflow,
        example={"input_as_text": "Give me a beginner workout", "session_id": "user_alice_session"},
        headers=["Idempotency-Key"],
        errors=[*DOOR, *TURN],
    ),
    Route(
        "turns.turns",
        "GET",
        "Turns",
        "A session's turns, newest first",
        [
            Answer(
                200,
                replies.TurnList,
                "One page.",
                {"object": "list", "data": [shown.RECORD], "has_more": False, "next": None},
            )
        ],
        more="Ids, times and token counts; never texts.",
        query=bodies.TurnsQuery,
        errors=[*DOOR, *QUERY, *SESSION, *PROVIDER],
    ),
    Route(
        "turns.turn",
        "GET",
        "Turns",
        "One turn, with its reply",
        [
            Answer(
                200,
                replies.TurnWithReply,
                "The record, and the reply as the provider has it.",
                {**shown.RECORD, **shown.REPLY},
            )
        ],
        more="While the turn runs, its state; once it is over, its reply, fetched from the provider.",
        errors=[*DOOR, *QUERY, *SESSION, *PROVIDER],
    ),
    Route(
        "turns.cancel_pending_calls",
        "POST",
        "Turns",
        "Answer dangling tool calls as cancelled",
        [
            Answer(
                200,
                replies.CancelledCalls,
                "The calls that were cancelled.",
                {"session_id": "user_alice_session", "cancelled": [shown.CALL]},
            )
        ],
        more="So that the conversation can go on after 409 `tool_output_missing`, when nobody has the outputs.",
        body=bodies.Nothing,
        body_required=False,
        errors=[*DOOR, *BODY, *SESSION, *HELD, *PROVIDER],
    ),
]

SESSIONS = [
    Route(
        "sessions.make",
        "POST",
        "Sessions",
        "Make a session up front, or get it",
        [
            Answer(201, replies.Session, "It was made.", shown.SESSION, has_etag=True),
            Answer(200, replies.Session, "It was there, and keeps its data.", shown.SESSION, has_etag=True),
        ],
        body=bodies.MakeSession,
        body_required=False,
        example={"session_id": "user_alice_session", "user_id": "alice", "data": {"cart": 3}},
        errors=[*DOOR, *BODY, errors.InvalidSessionIdError, errors.UserMismatchError, *HELD, *PROVIDER],
    ),
    Route(
        "sessions.directory",
        "GET",
        "Sessions",
        "List sessions, newest use first",
        [
            Answer(
                200,
                replies.SessionList,
                "One page.",
                {"object": "list", "data": [shown.SESSION], "has_more": False, "next": None},
            )
        ],
        more="Pages never repeat a session. A user's newest active one is `?user_id=U&status=active&limit=1`.",
        query=bodies.SessionsQuery,
        errors=[*DOOR, *QUERY],
    ),
    Route(
        "sessions.read",
        "GET",
        "Sessions",
        "Read a session",
        [Answer(200, replies.Session, "The session.", shown.SESSION, has_etag=True)],
        errors=[*DOOR, *QUERY, *SESSION],
    ),
    Route(
        "sessions.edit",
        "PATCH",
        "Sessions",
        "Change data, metadata or status",
        [Answer(200, replies.Session, "The session as it is now.", shown.SESSION, has_etag=True)],
        more="Needs no turn. The `ETag` covers these fields and `user_id`, so that turns do not disturb an editor.",
        body=bodies.EditSession,
        example={"data": {"cart": 4}, "status": "completed"},
        headers=["If-Match"],
        errors=[*DOOR, *BODY, *SESSION, errors.VersionMismatchError],
    ),
    Route(
        "sessions.erase",
        "DELETE",
        "Sessions",
        "Erase a session",
        [
            Answer(200, replies.Receipt, "It is erased.", shown.RECEIPT),
            Answer(202, replies.Erasing, "It is begun; the sweeper finishes the job.", shown.ERASING),
        ],
        more="Removes the items at the provider, then the conversation, the stored responses of its turns, and the "
        "session. Another DELETE tries again at once.",
        query=bodies.EraseQuery,
        headers=["If-Match"],
        errors=[*DOOR, *QUERY, *SESSION, errors.VersionMismatchError, *HELD, *PROVIDER],
    ),
    Route(
        "sessions.erase_of_user",
        "DELETE",
        "Sessions",
        "Erase every session of a user",
        [
            Answer(
                200,
                replies.UserErasure,
                "All are erased.",
                {"object": "list", "data": [shown.RECEIPT], "erased": 1, "erasing": 0},
            ),
            Answer(
                202,
                replies.UserErasure,
                "The sweeper has to finish some.",
                {"object": "list", "data": [shown.RECEIPT], "erased": 1, "erasing": 1},
            ),
        ],
        more="409 `turn_busy` when turns kept some in use: the same request may be sent again.",
        query=bodies.UserQuery,
        errors=[*DOOR, *QUERY, *HELD, *PROVIDER],
    ),
    Route(
        "moving.reset",
        "POST",
        "Sessions",
        "Begin a new conversation",
        [
            Answer(
                200,
                replies.ResetSession,
                "The session, one generation on.",
                {
                    **shown.SESSION,
                    "generation": 2,
                    "items_copied": 0,
                    "items_skipped": 0,
                    "old_conversation": "erased",
                },
                has_etag=True,
            )
        ],
        more="Empty, or with a copy of the history.",
        body=bodies.Reset,
        body_required=False,
        example={"keep_history": False},
        errors=[*DOOR, *BODY, *SESSION, *HELD, *PROVIDER],
    ),
    Route(
        "moving.fork",
        "POST",
        "Sessions",
        "A second session with a copy of the history",
        [
            Answer(
                201,
                replies.ForkedSession,
                "The second session.",
                {**shown.SESSION, "session_id": "user_alice_idea", "items_copied": 4, "items_skipped": 0},
                has_etag=True,
            )
        ],
        body=bodies.Fork,
        body_required=False,
        example={"session_id": "user_alice_idea"},
        errors=[*DOOR, *BODY, *SESSION, errors.SessionExistsError, errors.UserMismatchError, *HELD, *PROVIDER],
    ),
    Route(
        "moving.rename",
        "POST",
        "Sessions",
        "Give a session another id, or a user",
        [
            Answer(
                200,
                replies.Session,
                "The session under its new id.",
                {**shown.SESSION, "session_id": "user_alice_plan"},
                has_etag=True,
            )
        ],
        body=bodies.Rename,
        example={"session_id": "user_alice_plan", "user_id": "alice"},
        errors=[*DOOR, *BODY, *SESSION, errors.SessionExistsError, errors.UserMismatchError, *HELD],
    ),
]

HISTORY = [
    Route(
        "items.items",
        "GET",
        "History",
        "Read the hosted history",
        [Answer(200, replies.ItemList, "One page.", shown.ITEMS)],
        query=bodies.ItemsQuery,
        errors=[*DOOR, *QUERY, *SESSION, *PROVIDER],
    ),
    Route(
        "items.add",
        "POST",
        "History",
        "Add items",
        [Answer(200, replies.ItemList, "Those that were added, as the provider keeps them.", shown.ITEMS)],
        more="Any number of up to 2,000; the first make the session. An error says in `items_added` how many were "
        "added before it.",
        body=bodies.AddItems,
        example={"items": [shown.MESSAGE]},
        errors=[*DOOR, *BODY, *SESSION, errors.ContextLengthExceededError, *HELD, *PROVIDER],
    ),
    Route(
        "items.pop",
        "POST",
        "History",
        "Take the newest item out",
        [Answer(200, replies.Item, "The item, which is no longer in the history.", shown.KEPT_ITEM)],
        body=bodies.Nothing,
        body_required=False,
        errors=[*DOOR, *BODY, *SESSION, *HELD, *PROVIDER],
    ),
    Route(
        "items.clear",
        "DELETE",
        "History",
        "Remove every item",
        [
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
        errors=[*DOOR, *QUERY, *SESSION, *HELD, *PROVIDER],
    ),
    Route(
        "items.remove",
        "DELETE",
        "History",
        "Remove one item",
        [
            Answer(
                200,
                replies.RemovedItem,
                "It is removed.",
                {"session_id": "user_alice_session", "item_id": shown.ITEM, "deleted": True},
            )
        ],
        errors=[*DOOR, *QUERY, *SESSION, *HELD, *PROVIDER],
    ),
    Route(
        "transcript.transcript",
        "GET",
        "History",
        "The conversation to read, or to keep",
        [
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
        query=bodies.TranscriptQuery,
        errors=[*DOOR, *QUERY, *SESSION, *PROVIDER],
    ),
]

OPERATIONS = [
    Route(
        "operations.healthz",
        "GET",
        "Operations",
        "Does the process live?",
        [Answer(200, replies.Health, "It does.", {"status": "ok"})],
        errors=ORIGIN,
    ),
    Route(
        "operations.readyz",
        "GET",
        "Operations",
        "Can it serve?",
        [
            Answer(
                200,
                replies.Ready,
                "The store answers, and the provider can be used as configured.",
                {"status": "ready", "store": "postgresql", "provider": "openai", "auth": "keys"},
            )
        ],
        more="The reason of a 503, and what it runs on, are for admins and for callers on the gateway's own host.",
        errors=[*ORIGIN, errors.StoreUnavailableError, errors.ProviderUnavailableError, errors.ProviderError],
    ),
    Route(
        "metrics.metrics",
        "GET",
        "Operations",
        "What Prometheus reads",
        [
            Answer(
                200,
                None,
                "In Prometheus's text format; every name begins with `gateway_`.",
                media={"text/plain": "# TYPE gateway_turns_total counter\n"},
            )
        ],
        more="For admins, and for callers on the gateway's own host.",
        errors=[errors.UnauthorizedError, errors.ForbiddenError, errors.StoreUnavailableError],
    ),
    Route(
        "login.login",
        "POST",
        "Operations",
        "A browser logs in",
        [Answer(204, None, "The key is right, and is in a cookie that no script can read.")],
        more="404 where there is no auth.",
        body=bodies.Login,
        example={"key": "gw_web_…"},
        errors=[
            *ORIGIN,
            *BODY,
            errors.UnauthorizedError,
            errors.NotFoundError,
            errors.RateLimitedError,
            errors.StoreUnavailableError,
        ],
    ),
    Route(
        "login.logout",
        "POST",
        "Operations",
        "A browser logs out",
        [Answer(204, None, "The cookie is gone.")],
        errors=ORIGIN,
    ),
    Route(
        "api.openapi",
        "GET",
        "Operations",
        "This document",
        [Answer(200, dict, "OpenAPI 3.1.")],
        errors=ORIGIN,
    ),
]
