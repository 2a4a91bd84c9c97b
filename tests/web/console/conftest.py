"""A browser and a gateway for all tests of the folder: both take a second to start."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.harness.gateways import GatewayProcess
from tests.harness.upstream import UpstreamProcess
from tests.harness.windows import Windows, open_windows

expect.set_options(timeout=15_000)

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """Not for the whole test session: as long as playwright runs, no other test can run an event loop."""
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def provider() -> Iterator[UpstreamProcess]:
    """A hosted provider, for what needs slow words or faults."""
    with UpstreamProcess() as upstream:
        yield upstream


@pytest.fixture(scope="package")
def gateway(provider: UpstreamProcess) -> Iterator[GatewayProcess]:
    with GatewayProcess(
        OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=provider.url, GATEWAY_BUSY_WAIT="1s", GATEWAY_MODEL="demo"
    ) as running:
        yield running


@pytest.fixture
def windows(browser: Browser, gateway: GatewayProcess, provider: UpstreamProcess) -> Iterator[Windows]:
    provider.withdraw()
    with open_windows(browser, gateway.url) as opened:
        yield opened


@pytest.fixture
def name() -> Callable[[str], str]:
    """Session ids that nobody else uses: the tests of a file share their gateway."""
    number = next(_numbers)
    return lambda word: f"{word}-{number}"
