"""/v1: the API that OpenAI's clients speak, with the caller's own session ids in place of conversation ids."""

from __future__ import annotations

from flask import Blueprint, Response, request

from gateway.errors import GatewayError, SessionNotFoundError
from gateway.web.errors import error_reply
from gateway.web.v1 import conversations, items, responses
from gateway.web.v1.names import named_error

blueprint = Blueprint("v1", __name__)
for part in (responses, conversations, items):
    blueprint.register_blueprint(part.blueprint)


@blueprint.errorhandler(GatewayError)
def _refuse(error: GatewayError) -> Response:
    if isinstance(error, SessionNotFoundError):
        # The provider's own words: by these a gateway that stands before this one knows that a conversation is gone.
        error.message = f"Conversation with id '{(request.view_args or {}).get('session_id')}' not found."
    return error_reply(named_error(error))
