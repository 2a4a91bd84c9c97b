"""How each kind of item reads in a transcript."""

from typing import Any

import orjson
import pytest

from gateway.history.transcript import file_name, write_json, write_markdown, write_text
from gateway.model import Session

SESSION = Session("", "ann", "conv_1", created_at=1761472800000, last_used=1761473100000)
HEAD = "# ann\n\n*begun 2025-10-26T10:00:00.000Z, last used 2025-10-26T10:05:00.000Z*\n"


def markdown(*items: dict[str, Any]) -> str:
    written = "".join(write_markdown(SESSION, items))
    assert written.startswith(HEAD)
    return written.removeprefix(HEAD)


def said(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts)}


def test_messages_read_as_they_were_said() -> None:
    question = said("user", {"type": "input_text", "text": "Is *this* it?"})
    answer = said("assistant", {"type": "output_text", "text": "It is.\n\n- one\n- two"})
    assert markdown(question, answer) == "\n## User\n\nIs *this* it?\n\n## Assistant\n\nIt is.\n\n- one\n- two\n"


def test_an_output_is_named_after_its_call() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "lookup", "arguments": '{"word":"x"}'}
    output = {"type": "function_call_output", "call_id": "c1", "output": "found it"}
    assert markdown(call, output) == (
        '\n### Call of lookup\n\n```json\n{\n  "word": "x"\n}\n```\n\n### Output of lookup\n\n```\nfound it\n```\n'
    )


def test_no_output_breaks_out_of_its_fence() -> None:
    output = {"type": "function_call_output", "call_id": "c1", "output": "```\n# not a heading\n````"}
    assert markdown(output).endswith("\n`````\n```\n# not a heading\n````\n`````\n")


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (
            {"type": "input_image", "image_url": "https://pictures.example/1.png"},
            "*[picture](<https://pictures.example/1.png>)*",
        ),
        ({"type": "input_image", "image_url": "data:image/png;base64,AAAA", "file_id": None}, "*picture*"),
        ({"type": "input_image", "file_id": "file_1"}, "*picture file_1*"),
        ({"type": "input_image", "image_url": "https://x.example/>)[y](javascript:z"}, "*picture*"),
        ({"type": "input_file", "filename": "plan.pdf", "file_data": "data:…"}, "*file plan.pdf*"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA"}}, "*recording*"),
        ({"type": "refusal", "refusal": "I cannot help with that."}, "*refused*\n\nI cannot help with that."),
        ({"type": "something_new"}, "*something new*"),
    ],
)
def test_what_is_no_text_is_named(part: dict[str, Any], shown: str) -> None:
    assert markdown(said("user", part)) == f"\n## User\n\n{shown}\n"


def test_reasoning_is_quoted_where_the_provider_shows_it() -> None:
    shown = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "first\nthen"}]}
    hidden = {"type": "reasoning", "summary": [], "encrypted_content": "AAAA"}
    assert markdown(shown) == "\n### Reasoning\n\n> first\n> then\n"
    assert markdown(hidden) == "\n### Reasoning\n\n*not shown by the provider*\n"


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        (
            {"type": "web_search_call", "action": {"type": "search", "query": "q"}},
            '### Web search call\n\n```json\n{\n  "type": "search",\n  "query": "q"\n}\n```',
        ),
        (
            {"type": "code_interpreter_call", "code": "1 + 1", "outputs": None},
            "### Code interpreter call\n\n```python\n1 + 1\n```",
        ),
        (
            {"type": "mcp_call", "name": "roll", "arguments": "{}", "output": "4"},
            "### Call of roll\n\n```json\n{}\n```\n\n```\n4\n```",
        ),
        ({"type": "image_generation_call", "result": "AAAA"}, "### Image generation call"),
    ],
)
def test_calls_that_the_provider_carries_out_read_too(item: dict[str, Any], shown: str) -> None:
    assert markdown(item) == f"\n{shown}\n"


def test_the_same_as_plain_text() -> None:
    items = [
        said(
            "user", {"type": "input_text", "text": "Look."}, {"type": "input_image", "image_url": "https://x.example/1"}
        ),
        {"type": "function_call", "call_id": "c1", "name": "see", "arguments": "it"},
    ]
    assert "".join(write_text(SESSION, items)) == (
        "ann\nbegun 2025-10-26T10:00:00.000Z, last used 2025-10-26T10:05:00.000Z\n"
        "\nUser:\nLook.\n[picture] https://x.example/1\n"
        "\nCall of see:\nit\n"
    )


def test_json_is_the_session_and_the_items_as_they_are() -> None:
    items = [{"type": "message", "content": [], "role": "user", "new": {"deep": 1}}, {"type": "unheard_of"}]
    written = orjson.loads("".join(write_json(SESSION, items)))
    assert written == {"object": "transcript", "session": SESSION.as_dict(), "items": items}
    assert orjson.loads("".join(write_json(SESSION, [])))["items"] == []


def test_the_file_can_be_saved_on_every_system() -> None:
    session = Session("", "a|b:c@d", "conv_1", created_at=0, last_used=0)
    assert file_name(session, "md") == "a_b_c@d.md"
