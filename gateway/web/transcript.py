"""/sessions/ID/transcript: the conversation to read, or to keep."""

from __future__ import annotations

from itertools import chain

from flask import Blueprint, Response

from gateway.history.transcript import WRITERS, file_name
from gateway.model import JSON
from gateway.providers.base import all_items
from gateway.web.handlers import serve
from gateway.web.lookup import readable_session_of
from gateway.web.queries import TranscriptQuery
from gateway.web.reference import history as routes
from gateway.web.requests import gateway

blueprint = Blueprint("transcript", __name__)


@serve(blueprint, routes.TRANSCRIPT)
def transcript(session_id: str, query: TranscriptQuery) -> Response:
    """Written out as it is read, a page of items in memory. When the provider fails on the way the connection breaks
    off: a transcript that ends is whole."""
    write, media_type, ending = WRITERS[query.format]
    session = readable_session_of(session_id)
    items = all_items(gateway().provider, session.conversation_id)
    # The first page comes before the 200 is promised.
    first: list[JSON] = [item for item in [next(items, None)] if item is not None]
    reply = Response(write(session, chain(first, items)), content_type=media_type)
    reply.headers["Content-Disposition"] = f'attachment; filename="{file_name(session, ending)}"'
    return reply
