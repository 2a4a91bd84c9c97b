"""The steps that the conversation log's transactions are made of; statements are built once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Double, bindparam, delete, func, insert, select

from gateway.providers.local.context import check_unique
from gateway.providers.local.items import with_id
from gateway.providers.local.tables import Now, conversations, items, responses, running
from gateway.providers.local.wire import (
    JSON,
    conversation_locked,
    conversation_not_found,
    previous_response_not_found,
    reference_not_found,
)

CONVERSATION = select(conversations).where(conversations.c.conversation_id == bindparam("conversation"))
_LOCKED_CONVERSATION = CONVERSATION.with_for_update()
_RUNNING_IN = select(running.c.response_id, (running.c.lease_until > Now()).label("alive")).where(
    running.c.conversation_id == bindparam("conversation")
)
RELEASE = delete(running).where(running.c.response_id == bindparam("response"))
_FORGET_DEAD = RELEASE.where(running.c.lease_until <= Now())
_ITEMS_OF = select(items.c.body).where(items.c.owner_id == bindparam("owner")).order_by(items.c.sequence)
_ITEMS_UNTIL = _ITEMS_OF.where(items.c.sequence <= bindparam("last"))
ITEM = select(items.c.body).where(items.c.owner_id == bindparam("owner"), items.c.item_id == bindparam("item"))
SEQUENCE_OF_ITEM = ITEM.with_only_columns(items.c.sequence)
_ITEMS_NAMED = select(items.c.item_id, items.c.body).where(items.c.item_id.in_(bindparam("ids", expanding=True)))
ANY_ITEM_OF = (
    select(items.c.sequence)
    .where(items.c.owner_id == bindparam("owner"), items.c.item_id.in_(bindparam("ids", expanding=True)))
    .limit(1)
)
_RESPONSE = select(responses.c.conversation_id, responses.c.previous_response_id, responses.c.last_sequence).where(
    responses.c.response_id == bindparam("response")
)
INSERT_RUNNING = insert(running).values(
    response_id=bindparam("response_id"),
    conversation_id=bindparam("conversation_id"),
    lease_until=Now() + bindparam("lease", type_=Double()),
    body=bindparam("body"),
)
INSERT_RESPONSE = insert(responses).values(
    response_id=bindparam("response_id"),
    conversation_id=bindparam("conversation_id"),
    previous_response_id=bindparam("previous_response_id"),
    last_sequence=select(func.max(items.c.sequence)).where(items.c.owner_id == bindparam("owner")).scalar_subquery(),
    body=bindparam("body"),
)
_INSERT_ITEMS = insert(items)


def find_conversation(connection: Connection, conversation_id: str, query: Any = CONVERSATION) -> JSON:
    row = connection.execute(query, {"conversation": conversation_id}).one_or_none()
    if row is None:
        raise conversation_not_found(conversation_id)
    return conversation_object(row.conversation_id, row.created_at, orjson.loads(row.metadata))


def enter(connection: Connection, conversation_id: str) -> JSON:
    """Holds the conversation against everyone else until the transaction ends; refused while a response runs in it."""
    found = find_conversation(connection, conversation_id, _LOCKED_CONVERSATION)
    holder = connection.execute(_RUNNING_IN, {"conversation": conversation_id}).one_or_none()
    # A dead one is swept away; if it was renewed since we looked, it still stands.
    if holder is not None and (holder.alive or not _forget_dead(connection, holder.response_id)):
        raise conversation_locked()
    return found


def _forget_dead(connection: Connection, response_id: str) -> bool:
    return connection.execute(_FORGET_DEAD, {"response": response_id}).rowcount == 1


def items_of(connection: Connection, owner_id: str) -> list[JSON]:
    return [orjson.loads(body) for body in connection.scalars(_ITEMS_OF, {"owner": owner_id}).all()]


def history_until(connection: Connection, response_id: str | None) -> list[JSON]:
    """What was said up to the end of this response: back along its predecessors, or back in its conversation."""
    turns: list[list[JSON]] = []
    while response_id is not None:
        row = connection.execute(_RESPONSE, {"response": response_id}).one_or_none()
        if row is None:
            if not turns:
                raise previous_response_not_found(response_id)
            break
        if row.conversation_id is not None:
            until = {"owner": row.conversation_id, "last": row.last_sequence or 0}
            turns.append([orjson.loads(body) for body in connection.scalars(_ITEMS_UNTIL, until).all()])
            break
        turns.append(items_of(connection, response_id))
        response_id = row.previous_response_id
    return [item for turn in reversed(turns) for item in turn]


def resolve(connection: Connection, posted: Sequence[JSON]) -> list[JSON]:
    """The posted items, each with an id; one whose id is stored anywhere is that stored item, whatever was posted.

    So does the service, within a project: an id given by a client reads across conversations.
    """
    named = [item["id"] for item in posted if item.get("id") is not None]
    stored: dict[str, bytes] = {}
    if named:
        check_unique(posted)
        stored = {row.item_id: row.body for row in connection.execute(_ITEMS_NAMED, {"ids": named})}
    resolved = []
    for item in posted:
        if item.get("id") in stored:
            resolved.append(loaded(stored[item["id"]]))
        elif item["type"] == "item_reference":
            raise reference_not_found(item["id"])
        else:
            resolved.append(with_id(item))
    return resolved


def append_items(connection: Connection, owner_id: str, added: Sequence[JSON]) -> None:
    if added:
        connection.execute(
            _INSERT_ITEMS,
            [{"owner_id": owner_id, "item_id": item["id"], "body": orjson.dumps(item)} for item in added],
        )


def conversation_object(conversation_id: str, created_at: int, metadata: Mapping[str, str]) -> JSON:
    return {
        "id": conversation_id,
        "object": "conversation",
        "created_at": created_at,
        "metadata": dict(metadata),
    }


def loaded(body: bytes) -> JSON:
    loaded: JSON = orjson.loads(body)
    return loaded
