"""The order of a turn, known here and nowhere else.

    queue for the turn → mapping (bind if new) → workflow → record → reply

JSON replies, server-sent events, /v1 and `run_workflow` all fold the events of `Gateway.stream_turn`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from gateway.errors import (
    ConversationGoneError,
    GatewayError,
    IdempotencyKeyReusedError,
    IdempotencyUnsupportedError,
    NotFoundError,
    ProviderError,
    SessionNotFoundError,
    StoreUnavailableError,
    ToolOutputMissingError,
    TurnLostError,
    UserMismatchError,
)
from gateway.events import Delta, Done, Held, StreamEvent, TurnEvent
from gateway.history.items import add_items
from gateway.metrics.meters import TurnMeter, announce
from gateway.model import JSON, Reply, Session, SessionKey, TurnRequest, TurnState, fingerprint, new_turn_id
from gateway.providers.base import Provider, all_items
from gateway.providers.retry import Patience
from gateway.sessions import SessionManager, Turn
from gateway.sessions.values import KeyTakenError
from gateway.turn.binding import bind_conversation
from gateway.turn.evidence import Outcome
from gateway.turn.recovery import Settler
from gateway.workflows.base import Workflow, WorkflowTurn
from gateway.workflows.conversation import Conversation
from gateway.workflows.responses import cancelled_outputs, encode_reply, end_of, output_text, pending_calls, reply_of

log = logging.getLogger("gateway.turn")


class Gateway:
    """Sessions, a provider and workflows, put together. Made once a process; `close` gives everything back."""

    def __init__(
        self,
        sessions: SessionManager,
        provider: Provider,
        workflows: Mapping[str, Workflow],
        *,
        defaults: JSON,
        provider_timeout_seconds: float = 300.0,
    ) -> None:
        self.sessions = sessions
        self.provider = provider
        self.workflows = workflows
        self._defaults = defaults
        announce(workflows)
        self.settler = Settler(sessions, provider, silent_seconds=provider_timeout_seconds)

    def check(self) -> None:
        """Raises when the store does not answer, or the provider cannot be used as configured."""
        self.sessions.ping()
        self.provider.check()

    def close(self) -> None:
        self.sessions.close()
        self.provider.close()

    # --- A turn ----------------------------------------------------------------------------------------------

    def run_turn(self, tenant: str, request: TurnRequest) -> Reply:
        """The whole turn, for one who does not read along."""
        return reply_of(self.stream_turn(tenant, request))

    def stream_turn(
        self,
        tenant: str,
        request: TurnRequest,
        *,
        workflow: Workflow | None = None,
        left: Callable[[], bool] = lambda: False,
    ) -> Iterator[TurnEvent]:
        """One `Held`, the words (or the provider's own events, if the workflow gives those), one `Done`; or an error.
        To be read to its end: whoever stops reading in the middle leaves the turn in doubt (see `gateway.turn.worker`).

        `workflow` stands in for the one that the request names. `left` tells whether the client is gone: it is asked
        when the turn ends, so that a blind retry finds the reply that nobody got.
        """
        workflow = workflow or self.workflows.get(request.workflow)
        if workflow is None:
            raise NotFoundError(f"There is no workflow named {request.workflow!r}.")
        if request.idempotency_key is not None and not workflow.replayable:
            raise IdempotencyUnsupportedError(param="Idempotency-Key")
        with TurnMeter(request) as meter:
            yield from self._turn(SessionKey(tenant, request.session_id), request, workflow, left, meter)

    def _turn(
        self, key: SessionKey, request: TurnRequest, workflow: Workflow, left: Callable[[], bool], meter: TurnMeter
    ) -> Iterator[TurnEvent]:
        patience = Patience(self.sessions.wait_seconds if request.wait else 0)
        while True:
            turn_id = new_turn_id()
            try:
                with self.sessions.turn(
                    key,
                    turn_id=turn_id,
                    workflow=request.workflow,
                    idempotency_key=request.idempotency_key,
                    fingerprint=fingerprint(turn_id, request.body),
                    wait_seconds=patience.left_seconds,
                ) as turn:
                    found = self.settler.undelivered(turn, request) if workflow.replayable else None
                    if found is not None and left():
                        self.sessions.mark_undelivered(found.record)
                    if found is None:
                        yield from meter.follow(turn_id, self._run(turn, request, workflow, patience, left))
                        return
            except KeyTakenError as taken:
                first = taken.record
                if fingerprint(first.turn_id, request.body) != first.fingerprint:
                    raise IdempotencyKeyReusedError(param="Idempotency-Key") from None
                found = self.settler.first_end(first, patience)
                # If it surely did not take place this one does, in the session that was made for the first.
                key = first.key
            if found is not None:
                reply, response = self.settler.fetch_reply(found, replayed=True)
                meter.replayed(reply)
                yield Held(reply.session_id, reply.conversation_id, reply.turn_id, reply.created)
                yield Delta(reply.output_text)
                yield Done(reply, response)
                return

    def _run(
        self, turn: Turn, request: TurnRequest, workflow: Workflow, patience: Patience, left: Callable[[], bool]
    ) -> Iterator[TurnEvent]:
        session = turn.session
        created = session is None
        if session is None:
            session = self._bind_new(turn, request, patience)
        elif request.user_id is not None and request.user_id != session.user_id:
            raise UserMismatchError(param="user_id")
        turn.begin(created=created)
        yield Held(session.session_id, session.conversation_id, turn.record.turn_id, created)
        while True:
            conversation = Conversation(
                self.provider,
                session.conversation_id,
                patience=patience,
                check=turn.check,
                note=turn.note,
                # With a key the response's id is wanted early: it is the thread by which a crash is settled.
                stream=request.stream or request.idempotency_key is not None,
            )
            work = WorkflowTurn(
                conversation,
                input=request.input,
                session=session,
                defaults=self._defaults,
            )
            words: list[str] = []
            try:
                for piece in workflow.run(work):
                    if isinstance(piece, StreamEvent):
                        yield piece
                        continue
                    if not workflow.replayable:
                        words.append(piece)
                    yield Delta(piece)
            except ConversationGoneError as exc:
                if not request.restart or turn.record.recovered or conversation.response is not None:
                    raise self._refused(turn, conversation, exc) from exc.__cause__
                session = self._bind_new(turn, request, patience)
                turn.begin(recovered=True)
                continue
            except Exception as exc:
                error = self._error_of(turn, conversation, exc)
                response = self._rescued(turn, error)
                if response is None:
                    raise self._refused(turn, conversation, error) from error.__cause__
                conversation.keep(response)
                words = [output_text(response)]
            break
        if changes := work.changes():
            try:
                self.sessions.update(session.key, data=changes)
            except StoreUnavailableError as exc:
                raise self._refused(turn, conversation, exc) from exc.__cause__
        response = conversation.response or {}
        record = turn.finish(
            end_of(response), response_id=response.get("id"), usage=conversation.usage, undelivered=left()
        )
        if not record.undelivered and left():
            # It left while the end was written.
            self.sessions.mark_undelivered(record)
        # What a replay would say: the last response, whatever was said on the way to it.
        text = output_text(response) if workflow.replayable else "".join(words)
        yield Done(encode_reply(record, response, text=text), response)

    def _bind_new(self, turn: Turn, request: TurnRequest, patience: Patience) -> Session:
        """A new conversation for the session: its first, or its next after a loss."""
        return bind_conversation(
            self.provider, turn, patience, user_id=request.user_id, data=request.data, metadata=request.metadata
        ).session

    def _error_of(self, turn: Turn, conversation: Conversation, exc: Exception) -> GatewayError:
        """What the caller is told. Whatever went wrong while the provider may have been at work leaves it in doubt."""
        if isinstance(exc, GatewayError):
            error = exc
        else:
            log.exception("the workflow of turn %s failed", turn.record.turn_id)
            error = ProviderError("The workflow failed.")
            error.__cause__ = exc
        error.in_doubt = error.in_doubt or conversation.unanswered
        return error

    def _rescued(self, turn: Turn, error: GatewayError) -> JSON | None:
        """The response of a turn whose answer got lost on its way to us, if it is in the conversation all the same."""
        if not error.in_doubt or turn.record.response_id is None or isinstance(error, TurnLostError):
            return None
        with suppress(GatewayError):
            verdict = self.settler.examine(turn.record)
            if verdict.outcome is Outcome.ANSWERED:
                return verdict.response
            if verdict.outcome is Outcome.NOT_RUN:
                error.in_doubt = False
        return None

    def _refused(self, turn: Turn, conversation: Conversation, error: GatewayError) -> GatewayError:
        """Records a turn that failed. One that may have taken place stays in doubt, and is settled when looked at."""
        if isinstance(error, ToolOutputMissingError):
            with suppress(GatewayError):
                error.details["pending_calls"] = self.dangling_calls(conversation.conversation_id)
        answered = conversation.response is not None
        if not error.in_doubt and not isinstance(error, (TurnLostError, StoreUnavailableError)):
            # After a response the conversation has changed, so that the key must not run the turn again…
            turn.finish(TurnState.FAILED, error_code=error.code, forget_key=not answered)
        # … and whoever asked must not send it again by themselves.
        error.in_doubt = error.in_doubt or answered
        return error

    # --- Tool calls that wait for their outputs ---------------------------------------------------------------

    def dangling_calls(self, conversation_id: str) -> list[JSON]:
        """The conversation's function calls without outputs, oldest first."""
        return pending_calls(self._call_items(conversation_id))

    def cancel_pending_calls(self, key: SessionKey) -> list[JSON]:
        """Answers the session's dangling calls with a cancelled output, so that its conversation can go on."""
        with self.sessions.turn(key) as turn:
            if turn.session is None:
                raise SessionNotFoundError()
            conversation_id = turn.session.conversation_id
            items = self._call_items(conversation_id)
            add_items(self.provider, conversation_id, cancelled_outputs(items))
        return pending_calls(items)

    def _call_items(self, conversation_id: str) -> list[JSON]:
        """The conversation's tool calls and their outputs: the little of it that is needed here."""
        return [item for item in all_items(self.provider, conversation_id) if "_call" in item.get("type", "")]
