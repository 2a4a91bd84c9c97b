"""What a gateway's /metrics says."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families


class Metrics:
    """The numbers in one answer of /metrics."""

    def __init__(self, text: str) -> None:
        families = text_string_to_metric_families(text)
        self.samples = [sample for family in families for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of this metric's series that have these labels."""
        return sum(each.value for each in self.samples if each.name == name and labels.items() <= each.labels.items())


class Growth:
    """By how much numbers have grown since this was made."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._before = Metrics(read())

    def __call__(self, name: str, **labels: str) -> float:
        return Metrics(self._read())(name, **labels) - self._before(name, **labels)
