"""The routes of turns: one is run, those that were are looked at."""

from __future__ import annotations

from gateway.web import bodies, queries, replies
from gateway.web.reference import examples as shown
from gateway.web.routes import HELD, PROVIDER, SESSION, TURN, Access, Answer, Route

_EVENTS = (
    "With `stream`, or `Accept: text/event-stream`, the same turn comes as server-sent events: one `session` as soon "
    "as the turn is held and the mapping saved, a `delta` for each few words, then exactly one `done` with the whole "
    "reply, or one `error`. Each event has a rising `id:`; a comment line every 15 seconds keeps proxies awake. A turn "
    "that is refused before all that is a plain error."
)

RUN_WORKFLOW = Route(
    name="workflow_run",
    method="POST",
    address="/workflow",
    second_address="/workflow/<name>",
    access=Access.PRINCIPAL,
    group="Turns",
    summary="One turn of a session",
    answers=[
        Answer(
            200,
            replies.TurnReply,
            "The reply, once the turn is recorded.",
            shown.REPLY,
            media={"text/event-stream": shown.STREAM},
            events={
                "session": replies.SessionEvent,
                "delta": replies.DeltaEvent,
                "done": replies.TurnReply,
                "error": replies.StreamError,
            },
        )
    ],
    more="The first turn makes the session. The turns of one session run one at a time, first come first served. "
    "When the client hangs up the turn still runs to its end, and GET /sessions/ID/turns/TURN gives its reply. "
    + _EVENTS,
    body=bodies.Workflow,
    needs_posted=True,
    example={"input_as_text": "Give me a beginner workout", "session_id": "user_alice_session"},
    headers=queries.TurnHeaders,
    fails=TURN,
)

LIST_TURNS = Route(
    name="turns_turns",
    method="GET",
    address="/sessions/<session_id>/turns",
    access=Access.PRINCIPAL,
    group="Turns",
    summary="A session's turns, newest first",
    answers=[
        Answer(
            200,
            replies.TurnList,
            "One page.",
            {"object": "list", "data": [shown.RECORD], "has_more": False, "next": None},
        )
    ],
    more="Ids, times and token counts; never texts.",
    query=queries.TurnsQuery,
    fails=[*SESSION, *PROVIDER],
)

READ_TURN = Route(
    name="turns_turn",
    method="GET",
    address="/sessions/<session_id>/turns/<turn_id>",
    access=Access.PRINCIPAL,
    group="Turns",
    summary="One turn, with its reply",
    answers=[
        Answer(
            200,
            replies.TurnWithReply,
            "The record, and the reply as the provider has it.",
            {**shown.RECORD, **shown.REPLY},
        )
    ],
    more="While the turn runs, its state; once it is over, its reply, fetched from the provider.",
    fails=[*SESSION, *PROVIDER],
)

CANCEL_PENDING_CALLS = Route(
    name="turns_cancel_pending_calls",
    method="POST",
    address="/sessions/<session_id>/pending_calls/cancel",
    access=Access.PRINCIPAL,
    group="Turns",
    summary="Answer dangling tool calls as cancelled",
    answers=[
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
    fails=[*SESSION, *HELD, *PROVIDER],
)
