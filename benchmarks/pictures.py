"""The plots of the README, from one run's results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

JSON = dict[str, Any]

mpl.use("svg")
# The same results make the same files.
mpl.rcParams.update({"svg.hashsalt": "gateway", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

_OURS, _OTHERS = "#1f6feb", "#9aa4b2"
_LINES = ["#1f6feb", "#d97706", "#9aa4b2", "#0f766e"]


def draw(figures: JSON, folder: Path) -> list[Path]:
    """The plots that these figures are enough for."""
    folder.mkdir(exist_ok=True)
    made = []
    if bars := {what: figures[name] for name, what in _BARS.items() if name in figures}:
        made.append(_save(_throughput(bars), folder / "throughput.svg"))
    for name, (title, below, beside) in _CURVES.items():
        if name in figures:
            made.append(_save(_curves(figures[name], title, below, beside), folder / f"{name}.svg"))
    return made


_BARS = {"turns": "JSON turns a second, 50 clients", "streams": "streams of 20 words a second, 50 clients"}
_CURVES = {
    "first_word_ms": ("First word (the provider's comes after 500 ms)", "streams at once", "ms, median"),
    "store_us_by_sessions": ("The store's part of a turn, by sessions", "sessions in the store", "µs of CPU"),
    "store_us_by_turn": ("The store's part of a turn, by turns", "turn of the session", "µs of CPU"),
}


def _throughput(bars: dict[str, dict[str, JSON]]) -> Any:
    figure, axes = plt.subplots(1, len(bars), figsize=(9, 2.4), squeeze=False, sharey=True, layout="constrained")
    for place, (title, medians) in zip(axes[0], bars.items(), strict=True):
        names = list(reversed(medians))
        rates = [medians[name]["rate"] for name in names]
        colours = [_OURS if name.startswith("gateway") else _OTHERS for name in names]
        place.bar_label(place.barh(names, rates, color=colours), fmt="%.0f", padding=3)
        place.set_title(title)
        place.margins(x=0.15)
    return figure


def _curves(curves: dict[str, dict[int, float]], title: str, below: str, beside: str) -> Any:
    figure, place = plt.subplots(figsize=(5, 2.8))
    for (name, points), colour in zip(curves.items(), _LINES, strict=False):
        counts = sorted(points, key=int)
        place.plot(
            [int(count) for count in counts], [points[count] for count in counts], "o-", label=name, color=colour
        )
    if max(int(count) for points in curves.values() for count in points) >= 10_000:
        place.set_xscale("log")
    place.set(title=title, xlabel=below, ylabel=beside)
    place.set_ylim(bottom=0)
    place.legend(frameon=False)
    return figure


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return path
