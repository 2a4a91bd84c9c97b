"""The routes of sessions."""

from __future__ import annotations

from gateway import errors
from gateway.web import bodies, queries, replies
from gateway.web.reference import examples as shown
from gateway.web.routes import HELD, PROVIDER, SESSION, Access, Answer, Route

MAKE = Route(
    name="sessions_make",
    method="POST",
    address="/sessions",
    access=Access.PRINCIPAL,
    group="Sessions",
    summary="Make a session up front, or get it",
    answers=[
        Answer(201, replies.Session, "It was made.", shown.SESSION, has_etag=True),
        Answer(200, replies.Session, "It was there, and keeps its data.", shown.SESSION, has_etag=True),
    ],
    body=bodies.MakeSession,
    body_required=False,
    example={"session_id": "user_alice_session", "user_id": "alice", "data": {"cart": 3}},
    fails=[errors.InvalidSessionIdError, errors.UserMismatchError, *HELD, *PROVIDER],
)

LIST = Route(
    name="sessions_directory",
    method="GET",
    address="/sessions",
    access=Access.PRINCIPAL,
    group="Sessions",
    summary="List sessions, newest use first",
    answers=[
        Answer(
            200,
            replies.SessionList,
            "One page.",
            {"object": "list", "data": [shown.SESSION], "has_more": False, "next": None},
        )
    ],
    more="Pages never repeat a session. A user's newest active one is `?user_id=U&status=active&limit=1`.",
    query=queries.SessionsQuery,
)

READ = Route(
    name="sessions_read",
    method="GET",
    address="/sessions/<session_id>",
    access=Access.PRINCIPAL,
    group="Sessions",
    summary="Read a session",
    answers=[Answer(200, replies.Session, "The session.", shown.SESSION, has_etag=True)],
    fails=SESSION,
)

EDIT = Route(
    name="sessions_edit",
    method="PATCH",
    address="/sessions/<session_id>",
    access=Access.PRINCIPAL,
    group="Sessions",
    summary="Change data, metadata or status",
    answers=[Answer(200, replies.Session, "The session as it is now.", shown.SESSION, has_etag=True)],
    more="Needs no turn. The `ETag` covers these fields and `user_id`, so that turns do not disturb an editor.",
    body=bodies.EditSession,
    example={"data": {"cart": 4}, "status": "completed"},
    headers=queries.VersionHeaders,
    fails=[*SESSION, errors.VersionMismatchError],
)

ERASE = Route(
    name="sessions_erase",
    method="DELETE",
    address="/sessions/<session_id>",
    access=Access.PRINCIPAL,
    group="Sessions",
    summary="Erase a session",
    answers=[
        Answer(200, replies.Receipt, "It is erased.", shown.RECEIPT),
        Answer(202, replies.Erasing, "It is begun; the sweeper finishes the job.", shown.ERASING),
    ],
    more="Removes the items at the provider, then the conversation, the stored responses of its turns, and the "
    "session. Another DELETE tries again at once.",
    query=queries.EraseQuery,
    headers=queries.VersionHeaders,
    fails=[*SESSION, errors.VersionMismatchError, *HELD, *PROVIDER],
)

ERASE_OF_USER = Route(
    name="sessions_erase_of_user",
    method="DELETE",
    address="/sessions",
    access=Access.PRINCIPAL,
    group="Sessions",
    summary="Erase every session of a user",
    answers=[
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
    query=queries.UserQuery,
    fails=[*HELD, *PROVIDER],
)

RESET = Route(
    name="moving_reset",
    method="POST",
    address="/sessions/<session_id>/reset",
    access=Access.PRINCIPAL,
    group="Sessions",
    summary="Begin a new conversation",
    answers=[
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
    fails=[*SESSION, *HELD, *PROVIDER],
)

FORK = Route(
    name="moving_fork",
    method="POST",
    address="/sessions/<session_id>/fork",
    access=Access.PRINCIPAL,
    group="Sessions",
    summary="A second session with a copy of the history",
    answers=[
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
    fails=[*SESSION, errors.SessionExistsError, errors.UserMismatchError, *HELD, *PROVIDER],
)

RENAME = Route(
    name="moving_rename",
    method="POST",
    address="/sessions/<session_id>/rename",
    access=Access.PRINCIPAL,
    group="Sessions",
    summary="Give a session another id, or a user",
    answers=[
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
    fails=[*SESSION, errors.SessionExistsError, errors.UserMismatchError, *HELD],
)
