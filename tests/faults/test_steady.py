"""What `python3 dev.py soak --turns N` calls growth."""

from dataclasses import replace

import pytest

from tests.soak.steady import Sample, growth

STEADY = [Sample(turns, 74.0, 32, 5, 800 + turns * 6 // 5) for turns in range(10_000, 130_000, 10_000)]


def test_a_record_a_turn_is_no_growth() -> None:
    assert list(growth(STEADY)) == []


def test_neither_is_what_a_process_needs_to_warm_up() -> None:
    assert list(growth([replace(STEADY[0], megabytes=20, files=5, threads=1), *STEADY[1:]])) == []


@pytest.mark.parametrize(
    ("what", "a_step"),
    [("megabytes", 2.0), ("files", 2), ("threads", 1), ("stored", 3_000)],
    ids=lambda value: str(value),
)
def test_what_keeps_on_growing_is_named(what: str, a_step: float) -> None:
    """Stored: more for each later turn than for the first ones."""
    grown = [
        replace(sample, **{what: getattr(sample, what) + a_step * max(0, number - 4)})
        for number, sample in enumerate(STEADY)
    ]
    assert len(list(growth(grown))) == 1
