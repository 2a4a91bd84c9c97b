"""Sound JSON with odd values in some of its places: a hypothesis strategy."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

RUNS = settings(
    max_examples=200, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
"""The same attempts in every run, however slow the machine is."""

_GONE = object()
_TEXTS = ["", "\x00", "\n", "x", "7", "9" * 5000, "é😀", "user", "null", "f", "call f", "#", "#/a", "conv_1", "msg_1"]
_NUMBERS = [0, -1, 1, 5, 0.0, 0.5, -1.5, 10**10, 2**53 + 1, 2**63, 2**64 - 1, 1e300, 1e-300]
_NESTED = [[], {}, [[]], [None], [5], ["x"], [{}], {"a": None}, {"": {"": []}}, {"\x00": "\x00"}, {"$ref": "#"}]
_NESTED += [{"type": "null"}, [{"type": 5}], {"id": 5}, [{"type": "input_text", "text": 5}]]

odd_values = st.one_of(
    st.sampled_from([None, True, False]),
    st.sampled_from(_TEXTS),
    st.sampled_from(_NUMBERS),
    st.sampled_from(_NESTED).map(deepcopy),
)
"""Any JSON."""


@st.composite
def spoilt(draw: st.DrawFn, sound: Any, places: int = 3) -> Any:
    """`sound` with up to so many places gone or odd; now and then none."""
    value = deepcopy(sound)
    for _ in range(draw(st.integers(0, places))):
        holder, key = draw(st.sampled_from([*_places(value)] or [(None, None)]))
        odd = draw(st.just(_GONE) | odd_values)
        if holder is None:
            continue
        if odd is _GONE:
            del holder[key]
        else:
            holder[key] = odd
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield value, key
        yield from _places(part)
