"""What requests and replies look like: the examples of the document and of its page."""

from __future__ import annotations

from typing import Any

CONVERSATION = "conv_68fb96fe1a488195bf48df8f7666551604cbf45151194822"
RESPONSE = "resp_b46cc65c2e0119870cefbb16266389a4d5d19ee04a81e0f5ee"
TURN = "turn_4f2b7998aa1542398283d1c878e296b0"
ITEM = "msg_7c1f0a9b8e7d4c3f9a21"

REPLY: dict[str, Any] = {
    "session_id": "user_alice_session",
    "conversation_id": CONVERSATION,
    "response_id": RESPONSE,
    "turn_id": TURN,
    "output_text": "Three times a week: squats, push-ups, rows.",
    "status": "completed",
    "created": True,
    "recovered": False,
    "replayed": False,
    "generation": 1,
    "model": "gpt-5.4-mini",
    "usage": {"input_tokens": 11, "output_tokens": 52, "total_tokens": 63},
    "pending_calls": [],
}

STREAM = f"""event: session
id: 1
data: {{"session_id":"user_alice_session","conversation_id":"{CONVERSATION}","turn_id":"{TURN}","created":true}}

event: delta
id: 2
data: {{"text":"Three"}}

event: delta
id: 3
data: {{"text":" times a week"}}

event: done
id: 4
data: {{"session_id":"user_alice_session","conversation_id":"{CONVERSATION}","response_id":"{RESPONSE}",…}}

"""

SESSION: dict[str, Any] = {
    "session_id": "user_alice_session",
    "conversation_id": CONVERSATION,
    "created_at": "2025-10-26T10:00:00.000Z",
    "last_used": "2025-10-26T10:05:00.000Z",
    "expires_at": None,
    "status": "active",
    "user_id": "alice",
    "data": {"cart": 3},
    "metadata": {"plan": "pro"},
    "generation": 1,
    "turns": 2,
}

MESSAGE = {"role": "user", "content": "Give me a beginner workout"}

KEPT_ITEM: dict[str, Any] = {
    "id": ITEM,
    "type": "message",
    "status": "completed",
    "role": "user",
    "content": [{"type": "input_text", "text": "Give me a beginner workout"}],
}

ITEMS = {"object": "list", "data": [KEPT_ITEM], "first_id": ITEM, "last_id": ITEM, "has_more": False}

RECEIPT = {
    "session_id": "user_alice_session",
    "conversation_id": CONVERSATION,
    "items_deleted": 4,
    "conversation_deleted": True,
    "responses_deleted": 2,
    "erased_at": "2025-10-26T10:10:00.000Z",
}

ERASING = {
    "session_id": "user_alice_session",
    "conversation_id": CONVERSATION,
    "status": "erasing",
    "items_deleted": 500,
    "reason": "more_items",
}

RECORD: dict[str, Any] = {
    "turn_id": TURN,
    "response_id": RESPONSE,
    "state": "completed",
    "started_at": "2025-10-26T10:05:00.000Z",
    "finished_at": "2025-10-26T10:05:02.000Z",
    "usage": {"input_tokens": 11, "output_tokens": 52, "total_tokens": 63},
}

CALL = {"call_id": "call_1", "name": "weather", "arguments": '{"city":"Paris"}'}

RESPONSE_OBJECT: dict[str, Any] = {
    "id": RESPONSE,
    "object": "response",
    "created_at": 1761473100,
    "status": "completed",
    "model": "gpt-5.4-mini",
    "conversation": {"id": "user_alice_session"},
    "output": [
        {
            "id": "msg_8d2e1b0c9f8e5d4a0b32",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "annotations": [], "text": "Three times a week."}],
        }
    ],
    "usage": {"input_tokens": 11, "output_tokens": 52, "total_tokens": 63},
}

RESPONSE_STREAM = f"""event: response.created
data: {{"type":"response.created","sequence_number":0,"response":{{"id":"{RESPONSE}",…}}}}

event: response.output_text.delta
data: {{"type":"response.output_text.delta","sequence_number":4,"delta":"Three",…}}

event: response.completed
data: {{"type":"response.completed","sequence_number":12,"response":{{"id":"{RESPONSE}",…}}}}

"""

CONVERSATION_OBJECT = {
    "id": "user_alice_session",
    "object": "conversation",
    "created_at": 1761472800,
    "metadata": {"plan": "pro"},
}
