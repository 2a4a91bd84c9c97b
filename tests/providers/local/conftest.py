"""A local provider on each kind of database, and what its tests say often."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.providers.local import LocalProvider, WireError
from tests.harness.model_servers import ModelServer, model_server
from tests.harness.upstream import UpstreamProcess

JSON = dict[str, Any]
Open = Callable[..., LocalProvider]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a local provider keeps its conversations: once of every kind."""
    if request.param == "sqlite":
        return str(tmp_path / "local.db")
    url: str = request.getfixturevalue(
        {"postgresql": "postgres_database", "mariadb": "mariadb_database"}[request.param]
    )
    return url


@pytest.fixture
def make_provider() -> Iterator[Open]:
    """Makes providers that are closed at the end."""
    made: list[LocalProvider] = []

    def make(database: str | Path, **options: Any) -> LocalProvider:
        made.append(LocalProvider(str(database), **options))
        return made[-1]

    yield make
    for provider in made:
        provider.close()


@pytest.fixture
def everywhere(database: str, make_provider: Open) -> LocalProvider:
    """The provider, once on every kind of database."""
    return make_provider(database)


@pytest.fixture
def provider(tmp_path: Path, make_provider: Open) -> LocalProvider:
    """The provider on SQLite."""
    return make_provider(tmp_path / "local.db")


@pytest.fixture
def model() -> Iterator[ModelServer]:
    """A model server."""
    with model_server() as server:
        yield server


@pytest.fixture(params=["chat", "responses"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ask(model: ModelServer, tmp_path: Path, make_provider: Open) -> Open:
    """Makes a provider whose model is the server, spoken to in this API."""

    def make(api: str, timeout_seconds: float = 5) -> LocalProvider:
        return make_provider(tmp_path / "local.db", model_url=model.url, model_api=api, timeout_seconds=timeout_seconds)

    return make


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamProcess]:
    """The service over HTTP, with a lease of one second."""
    with UpstreamProcess(lease_seconds=1) as process:
        yield process


@contextmanager
def refused(status: int, message: str, *, code: str | None = None, param: str | None = None) -> Iterator[None]:
    """Passes only when the wire answers exactly so."""
    with pytest.raises(WireError) as caught:
        yield
    kind = "invalid_request_error"
    assert (caught.value.status, caught.value.error) == (
        status,
        {"message": message, "type": kind, "param": param, "code": code},
    )


def user(text: str, **fields: Any) -> JSON:
    return {"type": "message", "role": "user", "content": text, **fields}


def text_of(response: JSON) -> str:
    return "".join(part.get("text", "") for item in response["output"] for part in item.get("content", ()))


def texts(provider: LocalProvider, conversation_id: str) -> list[str]:
    """The words of a conversation, from its beginning."""
    page = provider.list_items(conversation_id, limit=100, order="asc")
    return [part["text"] for item in page["data"] for part in item.get("content", ())]
