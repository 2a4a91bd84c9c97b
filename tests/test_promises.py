"""docs/promises.md: each promise names tests that are there, and no test at the top belongs to no promise."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs/promises.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`((?:tests|gateway/testing)/[\w/.]+)`", TABLE))
# They hold what the others stand on, and what has a table elsewhere.
ELSEWHERE = {
    "tests/test_config.py",  # README's table of settings
    "tests/test_dev.py",
    "tests/test_model.py",
    "tests/test_promises.py",
    "tests/test_servers.py",
    "tests/test_sse.py",
    "tests/test_upstream.py",
}


def test_every_test_that_is_named_is_there() -> None:
    assert len(NAMED) > 50
    assert [name for name in sorted(NAMED) if not (ROOT / name).exists()] == []


def test_every_test_at_the_top_has_its_promise() -> None:
    top = {f"tests/{path.name}" for path in (ROOT / "tests").glob("test_*.py")}
    assert top - NAMED == ELSEWHERE
