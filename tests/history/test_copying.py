"""What of a history goes over into another conversation, and what does not."""

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ProviderError, ProviderRejectedError
from gateway.history.copying import Copied, copy_history
from gateway.providers.base import all_items
from gateway.providers.local import LocalProvider
from tests.harness.app import FaultyProvider, user

JSON = dict[str, Any]


@pytest.fixture
def provider(tmp_path: Path) -> FaultyProvider:
    return FaultyProvider(LocalProvider(str(tmp_path / "provider.db")))


def assistant(text: str) -> JSON:
    return {"role": "assistant", "content": text}


def call(call_id: str, kind: str = "function_call") -> JSON:
    return {"type": kind, "call_id": call_id, "name": "f", "arguments": "{}", "input": "x"}


def output(call_id: str, kind: str = "function_call_output") -> JSON:
    return {"type": kind, "call_id": call_id, "output": "done"}


def sealed(name: str = "sealed") -> JSON:
    return {"type": "reasoning", "summary": [], "encrypted_content": name}


def copy(provider: FaultyProvider, *items: JSON) -> tuple[Copied, list[str]]:
    """Copies these, and tells what is in the copy."""
    source = provider.behind.create_conversation(metadata={})["id"]
    for start in range(0, len(items), 20):
        provider.behind.add_items(source, items[start : start + 20])
    target = provider.behind.create_conversation(metadata={})["id"]
    copied = copy_history(provider, source, target)
    return copied, [_name(item) for item in all_items(provider.behind, target)]


def _name(item: JSON) -> str:
    if item["type"] == "message":
        return str(item["content"][0]["text"])
    return f"{item['type']} {item.get('call_id') or item.get('encrypted_content')}"


def test_calls_and_outputs_go_over_in_pairs_only(provider: FaultyProvider) -> None:
    items = [call("a"), call("b"), output("b"), call("dangling"), output("a"), output("orphan"), user("end")]
    copied, names = copy(provider, *items)
    assert names == ["function_call a", "function_call b", "function_call_output b", "function_call_output a", "end"]
    assert copied == Copied(items_copied=5, items_skipped=2)


def test_an_output_before_its_call_is_no_pair(provider: FaultyProvider) -> None:
    assert copy(provider, output("a"), call("a"), user("end")) == (Copied(1, 2), ["end"])


def test_a_custom_tools_call_is_no_pair_with_a_functions_output(provider: FaultyProvider) -> None:
    items = [call("a", "custom_tool_call"), output("a", "custom_tool_call_output")]
    assert copy(provider, *items)[0] == Copied(2, 0)
    assert copy(provider, call("a", "custom_tool_call"), output("a"))[0] == Copied(0, 2)


def test_reasoning_goes_with_what_it_led_to(provider: FaultyProvider) -> None:
    items = [sealed("1"), call("a"), output("a"), sealed("2"), assistant("so"), sealed("3"), user("hm"), sealed("4")]
    copied, names = copy(provider, *items)
    assert names == ["reasoning 1", "function_call a", "function_call_output a", "reasoning 2", "so", "hm"]
    assert copied == Copied(6, 2)


def test_reasoning_before_a_dangling_call_stays_with_it(provider: FaultyProvider) -> None:
    assert copy(provider, sealed(), call("dangling"), user("end")) == (Copied(1, 2), ["end"])


def test_what_is_input_only_under_its_own_id_stays_behind(provider: FaultyProvider) -> None:
    search = {"type": "web_search_call", "action": {"type": "search", "query": "q"}}
    unsealed = {"type": "reasoning", "summary": []}
    assert copy(provider, user("one"), search, unsealed, assistant("two")) == (Copied(2, 2), ["one", "two"])


@pytest.mark.parametrize("refused", ["function_call", "function_call_output"])
def test_a_refused_half_of_a_pair_takes_the_other_along(provider: FaultyProvider, refused: str) -> None:
    def judge(args: tuple[Any, ...]) -> ProviderRejectedError | None:
        return ProviderRejectedError() if any(item.get("type") == refused for item in args[1]) else None

    provider.refuse("add_items", judge)
    # More than one portion: the call is in one and its output in the next.
    items = [*(user(f"w{number}") for number in range(19)), call("a"), output("a"), user("end")]
    copied, names = copy(provider, *items)
    assert names == [*(f"w{number}" for number in range(19)), "end"]
    assert copied == Copied(20, 2)


def test_what_may_have_been_added_is_not_added_again(provider: FaultyProvider) -> None:
    provider.fail("add_items", ProviderError(in_doubt=True))
    with pytest.raises(ProviderError):
        copy(provider, user("one"), user("two"))
    assert provider.calls.count("add_items") == 1
