"""Two gateways as OpenAI's clients find them, each in a process of its own: one on the local provider, and one whose
`openai` provider is a third gateway's /v1. Shared by the tests: each has sessions of its own."""

import itertools
from collections.abc import Iterator

import openai
import pytest

from tests.harness.gateways import GatewayProcess
from tests.harness.upstream import UpstreamProcess

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def direct() -> Iterator[GatewayProcess]:
    """On the local provider, with a JSON file."""
    with GatewayProcess(GATEWAY_STORE="json:sessions.json", WEB_CONCURRENCY=2) as gateway:
        yield gateway


@pytest.fixture(scope="package")
def chained() -> Iterator[GatewayProcess]:
    """Before another gateway."""
    with (
        GatewayProcess(GATEWAY_STORE="json:sessions.json") as behind,
        GatewayProcess(
            GATEWAY_STORE="sqlite:///sessions.db", OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=f"{behind.url}/v1"
        ) as gateway,
    ):
        yield gateway


@pytest.fixture(params=["direct", "chained"])
def gateway(request: pytest.FixtureRequest) -> GatewayProcess:
    """Each of the two."""
    found: GatewayProcess = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    """A stock client of it."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client:
        yield client


@pytest.fixture
def session_id() -> str:
    """One that no other test uses, and that paths have to encode."""
    return f"user@{next(_numbers)}:a+b"


@pytest.fixture(scope="package")
def hosted() -> Iterator[UpstreamProcess]:
    with UpstreamProcess() as upstream:
        yield upstream


@pytest.fixture
def upstream(hosted: UpstreamProcess) -> Iterator[UpstreamProcess]:
    """The hosted provider, without faults of a former test."""
    hosted.withdraw()
    yield hosted
    hosted.withdraw()
    hosted.release()


@pytest.fixture(scope="package")
def before_hosted(hosted: UpstreamProcess) -> Iterator[GatewayProcess]:
    """A gateway before it."""
    with GatewayProcess(
        GATEWAY_STORE="sqlite:///sessions.db", OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=hosted.url
    ) as gateway:
        yield gateway


@pytest.fixture
def to_hosted(before_hosted: GatewayProcess, upstream: UpstreamProcess) -> Iterator[openai.OpenAI]:
    """A stock client of that, which shows every failure."""
    with openai.OpenAI(base_url=f"{before_hosted.url}/v1", api_key="none", max_retries=0) as client:
        yield client
