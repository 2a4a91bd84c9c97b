"""Copies one conversation's history into another: what the provider takes as input, in the same order.

A call goes over only together with its output: the copy has no dangling call, which would make every later turn fail,
and no output out of the blue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.errors import ConversationGoneError, InvalidRequestError, NotFoundError
from gateway.history.items import add_portion, portions, remove_item
from gateway.model import JSON
from gateway.providers.base import ITEMS_A_CALL, Provider, all_items

_OUTPUTS = {
    "function_call_output": "function_call",
    "custom_tool_call_output": "custom_tool_call",
    "shell_call_output": "shell_call",
    "apply_patch_call_output": "apply_patch_call",
}
"""Outputs, and the calls that they belong to. Every other kind of call (a web search, a computer's, an MCP server's)
is taken as input only under the id that it had, which a copy cannot have."""

_CALLS = frozenset(_OUTPUTS.values())
_INPUT_ROLES = frozenset({"user", "assistant", "system", "developer"})
_NOT_INPUT = frozenset({"id", "status", "created_by"})
"""What the provider adds to an item, and does not take back with a new one."""


@dataclass(slots=True)
class Copied:
    """How many items went over, and how many did not."""

    items_copied: int = 0
    items_skipped: int = 0


def copy_history(provider: Provider, source_id: str, target_id: str) -> Copied:
    """Adds the source's items to the target, a page in memory at a time. Nobody may write to either meanwhile.

    An error leaves the target half filled: whoever made it deletes it.
    """
    return _Copy(provider, source_id, target_id).run()


@dataclass(slots=True)
class _Copy:
    provider: Provider
    source_id: str
    target_id: str
    counts: Copied = field(default_factory=Copied)
    paired: set[str] = field(default_factory=set)
    """The call ids whose call and output both are there, and that the provider has not refused."""
    calls: dict[str, str] = field(default_factory=dict)
    """Call id → the copied call's item id, while its output is still to come."""

    def run(self) -> Copied:
        self._find_pairs()
        batch: list[JSON] = []
        for item in self._takeable():
            batch.append(item)
            if len(batch) == ITEMS_A_CALL:
                self._add(batch)
                batch = []
        self._add(batch)
        return self.counts

    def _find_pairs(self) -> None:
        calls: set[tuple[str, str]] = set()
        for item in all_items(self.provider, self.source_id):
            kind, call_id = str(item.get("type")), str(item.get("call_id"))
            if kind in _CALLS:
                calls.add((kind, call_id))
            elif kind in _OUTPUTS and (_OUTPUTS[kind], call_id) in calls:
                self.paired.add(call_id)

    def _takeable(self) -> Iterator[JSON]:
        """The items as input; counts those that are left out."""
        thoughts: list[JSON] = []
        for item in all_items(self.provider, self.source_id):
            if item.get("type") == "reasoning" and item.get("encrypted_content"):
                thoughts.append(encode_input(item))
                continue
            taken = is_input(item, self.paired)
            # Reasoning goes only with what it led to.
            if taken and (item.get("role") == "assistant" or item["type"] in _CALLS):
                yield from thoughts
            else:
                self.counts.items_skipped += len(thoughts)
            thoughts = []
            if taken:
                yield encode_input(item)
            else:
                self.counts.items_skipped += 1
        self.counts.items_skipped += len(thoughts)

    def _add(self, batch: list[JSON]) -> None:
        # Of a call that was refused since these were gathered, the output stays behind too.
        kept = [item for item in batch if "call_id" not in item or item["call_id"] in self.paired]
        self.counts.items_skipped += len(batch) - len(kept)
        for portion in portions(kept):
            try:
                self._note(add_portion(self.provider, self.target_id, portion))
            except ConversationGoneError:
                raise
            except (InvalidRequestError, NotFoundError):
                # All of it was refused for the sake of one: which one, the provider says one by one.
                self._add_singly(portion)

    def _add_singly(self, portion: Sequence[JSON]) -> None:
        for item in portion:
            call_id = item.get("call_id")
            # Reasoning would need its follower, which may be what is refused.
            if item.get("type") == "reasoning" or (call_id is not None and call_id not in self.paired):
                self.counts.items_skipped += 1
                continue
            try:
                self._note(add_portion(self.provider, self.target_id, [item]))
            except ConversationGoneError:
                raise
            except (InvalidRequestError, NotFoundError):
                self.counts.items_skipped += 1
                self._leave_pair(call_id)

    def _leave_pair(self, call_id: str | None) -> None:
        """A call or an output was refused: the other one stays behind too, or is taken back."""
        if call_id is None:
            return
        self.paired.discard(call_id)
        if call := self.calls.pop(call_id, None):
            remove_item(self.provider, self.target_id, call)
            self.counts.items_copied -= 1
            self.counts.items_skipped += 1

    def _note(self, added: list[JSON]) -> None:
        self.counts.items_copied += len(added)
        for item in added:
            if item.get("type") in _CALLS:
                self.calls[item["call_id"]] = item["id"]
            elif item.get("type") in _OUTPUTS:
                self.calls.pop(item["call_id"], None)


def is_input(item: JSON, paired: set[str]) -> bool:
    """Whether the provider can be expected to take this item as a new one. `paired`: the calls that have an output."""
    kind = item.get("type")
    if kind == "message":
        return item.get("role") in _INPUT_ROLES
    return (kind in _CALLS or kind in _OUTPUTS) and item.get("call_id") in paired


def encode_input(item: JSON) -> JSON:
    """The item as a client would post it."""
    return {name: value for name, value in item.items() if name not in _NOT_INPUT and value is not None}
