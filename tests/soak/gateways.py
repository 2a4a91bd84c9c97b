"""Gateways that can be told apart: by the key that each brings to the provider."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.gateways import GatewayProcess


class NamedGateway(GatewayProcess):
    """`token` is its name, and its key at the provider."""

    def __init__(self, token: str, **settings: object) -> None:
        super().__init__(OPENAI_API_KEY=token, **settings)
        self.token = token

    @contextmanager
    def paused(self) -> Iterator[None]:
        """All of its processes stand still in this block."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def workers(self) -> list[Path]:
        """The folders that the kernel keeps about its workers."""
        assert self._process is not None
        pid = self._process.pid
        return [Path("/proc", child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
