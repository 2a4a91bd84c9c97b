"""The conversation log: conversations, their items and the stored responses, each call one short transaction."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from gateway.providers.local.context import check_context
from gateway.providers.local.database import ConversationDatabase
from gateway.providers.local.request import ResponseRequest, new_response
from gateway.providers.local.steps import (
    ANY_ITEM_OF,
    INSERT_RESPONSE,
    INSERT_RUNNING,
    ITEM,
    RELEASE,
    SEQUENCE_OF_ITEM,
    append_items,
    conversation_object,
    enter,
    find_conversation,
    history_until,
    items_of,
    loaded,
    resolve,
)
from gateway.providers.local.tables import Now, conversations, items, responses, running
from gateway.providers.local.wire import (
    JSON,
    cursor_not_found,
    envelope,
    item_already_in_conversation,
    item_not_found,
    new_id,
    response_not_found,
)


@dataclass(frozen=True, slots=True)
class Run:
    """A response under way: what the model reads, and where its turn goes when it ends."""

    request: ResponseRequest
    response: JSON
    history: list[JSON]
    posted: list[JSON]

    @property
    def response_id(self) -> str:
        return str(self.response["id"])


class ConversationLog:
    """Everything that outlives a request. Raises `WireError`s."""

    def __init__(self, database: ConversationDatabase, *, lease_seconds: float) -> None:
        self._database = database
        self._lease = lease_seconds

    # --- Conversations -------------------------------------------------------------------------------------

    def create_conversation(self, metadata: Mapping[str, str], posted: Sequence[JSON]) -> JSON:
        conversation_id, created_at = new_id("conv"), int(time.time())
        with self._database.write() as connection:
            connection.execute(
                insert(conversations),
                {
                    "conversation_id": conversation_id,
                    "created_at": created_at,
                    "metadata": orjson.dumps(metadata),
                },
            )
            append_items(connection, conversation_id, resolve(connection, posted))
        return conversation_object(conversation_id, created_at, metadata)

    def retrieve_conversation(self, conversation_id: str) -> JSON:
        with self._database.read() as connection:
            return find_conversation(connection, conversation_id)

    def update_conversation(self, conversation_id: str, metadata: Mapping[str, str]) -> JSON:
        """The conversation with this metadata in place of its old; a response under way does not mind."""
        with self._database.write() as connection:
            found = find_conversation(connection, conversation_id)
            connection.execute(
                update(conversations)
                .where(conversations.c.conversation_id == conversation_id)
                .values(metadata=orjson.dumps(metadata))
            )
        return {**found, "metadata": dict(metadata)}

    def delete_conversation(self, conversation_id: str) -> None:
        """Its items stay: nothing lists them any more, but who knows an item's id still reaches it."""
        with self._database.write() as connection:
            enter(connection, conversation_id)
            connection.execute(delete(conversations).where(conversations.c.conversation_id == conversation_id))
        self._database.scrub()

    # --- Items ---------------------------------------------------------------------------------------------

    def list_items(self, conversation_id: str, *, limit: int, order: str, after: str | None) -> JSON:
        with self._database.read() as connection:
            find_conversation(connection, conversation_id)
            query = select(items.c.body).where(items.c.owner_id == conversation_id)
            if after is not None:
                cursor = connection.scalar(SEQUENCE_OF_ITEM, {"owner": conversation_id, "item": after})
                if cursor is None:
                    raise cursor_not_found(after)
                query = query.where(items.c.sequence > cursor if order == "asc" else items.c.sequence < cursor)
            query = query.order_by(items.c.sequence.asc() if order == "asc" else items.c.sequence.desc())
            bodies = connection.scalars(query.limit(limit + 1)).all()
        return envelope([orjson.loads(body) for body in bodies[:limit]], has_more=len(bodies) > limit)

    def add_items(self, conversation_id: str, posted: Sequence[JSON]) -> JSON:
        with self._database.write() as connection:
            enter(connection, conversation_id)
            added = resolve(connection, posted)
            ids = {item["id"] for item in added}
            if len(ids) < len(added) or connection.scalar(ANY_ITEM_OF, {"owner": conversation_id, "ids": list(ids)}):
                raise item_already_in_conversation()
            append_items(connection, conversation_id, added)
        return envelope(added)

    def retrieve_item(self, conversation_id: str, item_id: str) -> JSON:
        with self._database.read() as connection:
            find_conversation(connection, conversation_id)
            body = connection.scalar(ITEM, {"owner": conversation_id, "item": item_id})
        if body is None:
            raise item_not_found(item_id)
        return loaded(body)

    def delete_item(self, conversation_id: str, item_id: str) -> JSON:
        """The conversation without this item; the item's text is gone from the database's files."""
        with self._database.write() as connection:
            found = enter(connection, conversation_id)
            gone = connection.execute(
                delete(items).where(items.c.owner_id == conversation_id, items.c.item_id == item_id)
            )
            if gone.rowcount == 0:
                raise item_not_found(item_id)
        self._database.scrub()
        return found

    # --- Responses -----------------------------------------------------------------------------------------

    def begin(self, request: ResponseRequest) -> Run:
        """Takes the conversation for one response and reads what the model will read, or refuses the request."""
        response = new_response(request, new_id("resp"))
        with self._database.write(lasting=False) as connection:
            if request.conversation_id is not None:
                enter(connection, request.conversation_id)
                history = items_of(connection, request.conversation_id)
            else:
                history = history_until(connection, request.previous_response_id)
            posted = resolve(connection, request.items)
            check_context(history, posted)
            connection.execute(
                INSERT_RUNNING,
                {
                    "response_id": response["id"],
                    "conversation_id": request.conversation_id,
                    "lease": self._lease,
                    "body": orjson.dumps(response) if request.stored else None,
                },
            )
        return Run(request, response, history, posted)

    def finish(self, run: Run, response: JSON) -> bool:
        """Ends a response: its turn joins the conversation, and the response is stored, together or not at all.

        A turn that came to nothing joins no conversation. False when the response had lost its lease: then nothing
        was written.
        """
        conversation_id = run.request.conversation_id
        with self._database.write() as connection:
            if not self._release(connection, run) and conversation_id is not None:
                return False
            owner_id = conversation_id or (run.response_id if run.request.stored else None)
            if owner_id is not None and response["status"] in ("completed", "incomplete"):
                append_items(connection, owner_id, [*run.posted, *response["output"]])
            if run.request.stored:
                connection.execute(
                    INSERT_RESPONSE,
                    {
                        "response_id": run.response_id,
                        "conversation_id": conversation_id,
                        "previous_response_id": run.request.previous_response_id,
                        "owner": owner_id,
                        "body": orjson.dumps(response),
                    },
                )
        return True

    def release(self, run: Run) -> None:
        """As if the response had never been asked for."""
        with self._database.write(lasting=False) as connection:
            self._release(connection, run)

    def retrieve_response(self, response_id: str) -> JSON:
        """A stored response, or one to be stored as it is while it runs."""
        with self._database.read() as connection:
            body = connection.scalar(
                select(running.c.body).where(running.c.response_id == response_id, running.c.lease_until > Now())
            ) or connection.scalar(select(responses.c.body).where(responses.c.response_id == response_id))
        if body is None:
            raise response_not_found(response_id)
        return loaded(body)

    def delete_response(self, response_id: str) -> None:
        with self._database.write() as connection:
            if connection.execute(delete(responses).where(responses.c.response_id == response_id)).rowcount == 0:
                raise response_not_found(response_id)
            connection.execute(delete(items).where(items.c.owner_id == response_id))
        self._database.scrub()

    # --- Leases --------------------------------------------------------------------------------------------

    def renew(self, response_ids: Collection[str]) -> bool:
        """Renews the leases of these, forgets the responses of processes that died; whether it must come again."""
        ids = list(response_ids)
        with self._database.write(lasting=False, urgent=True) as connection:
            for start in range(0, len(ids), 500):
                connection.execute(
                    update(running)
                    .where(running.c.response_id.in_(ids[start : start + 500]))
                    .values(lease_until=Now() + self._lease)
                )
            connection.execute(delete(running).where(running.c.lease_until < Now()))
        if self._database.scrub_is_owed:
            self._database.scrub()
        return self._database.scrub_is_owed

    @property
    def scrub_is_owed(self) -> bool:
        """Whether deleted text may still be in the database's files."""
        return self._database.scrub_is_owed

    def check(self) -> None:
        self._database.check()

    def close(self) -> None:
        self._database.close()

    def _release(self, connection: Connection, run: Run) -> bool:
        return connection.execute(RELEASE, {"response": run.response_id}).rowcount == 1
