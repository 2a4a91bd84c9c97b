"""What was erased is gone: from the provider's files, from the store, and it never was in the log."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from gateway.testing.waiting import Clock
from tests.conftest import StoreAddress
from tests.harness.app import House, key, user
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess
from tests.web.conftest import OpenHouse

USER = "user-zanzibar-4711"
SESSION = "session-quetzal-0815"
WORDS = ("marzipan-secret", "ocelot-secret", "bramble-secret", "saffron-secret", "walnut-secret")
TRACES = [*WORDS, USER, SESSION]


def files_of(path: Path) -> bytes:
    """A file, and everything that lies beside it under its name."""
    beside = [found for found in path.parent.rglob("*") if found.is_file() and path.stem in str(found)]
    assert path in beside or path.suffix == ".json"
    return b"".join(found.read_bytes() for found in beside)


def dump_sql(url: str, prefix: str) -> bytes:
    import sqlalchemy as sa

    from gateway.database.drivers import parse_url

    engine = sa.create_engine(parse_url(url))
    tables = sa.MetaData()
    tables.reflect(engine, only=lambda name, _: name.startswith(prefix + "_"))
    assert tables.tables
    with engine.connect() as connection:
        rows = [list(row) for table in tables.tables.values() for row in connection.execute(sa.select(table))]
    engine.dispose()
    return repr(rows).encode()


def dump_redis(url: str, prefix: str) -> bytes:
    import redis

    client = redis.Redis.from_url(url)
    read: dict[bytes, Callable[[bytes], object]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        b"list": lambda name: client.lrange(name, 0, -1),
        b"set": client.smembers,
        b"stream": lambda name: client.xrange(name),
    }
    found = [(name, read[client.type(name)](name)) for name in client.scan_iter(match=f"*{prefix}*")]
    client.close()
    return repr(found).encode()


def dump(store: StoreAddress) -> bytes:
    match store.name:
        case "memory":
            return b""
        case "json":
            return files_of(Path(store.url.partition(":")[2]))
        case "sqlite":
            return files_of(Path(store.url.partition("///")[2]))
        case "valkey" | "redis":
            return dump_redis(store.url, store.prefix)
        case _:
            return dump_sql(store.url, store.prefix)


def live(house: House) -> None:
    """A session with a text in every place that can hold one, and a second one of the same user."""
    house.post(
        "/workflow",
        {
            "session_id": SESSION,
            "user_id": USER,
            "input_as_text": WORDS[0],
            "data": {"note": WORDS[1]},
            "metadata": {"tag": WORDS[2]},
        },
    )
    house.add(SESSION, user(WORDS[3]))
    house.say(SESSION, WORDS[4])
    house.ask("PATCH", f"/sessions/{SESSION}", {"data": {"note": WORDS[1] * 2}})
    house.post(f"/sessions/{SESSION}/reset", {"keep_history": True})
    house.say(SESSION, WORDS[0])
    house.post(f"/sessions/{SESSION}/fork", {"session_id": f"{SESSION}-fork"}, 201)
    house.say(f"{SESSION}-fork", WORDS[1])
    house.post(f"/sessions/{SESSION}-fork/rename", {"session_id": f"{SESSION}-moved"})
    house.say(f"{SESSION}-moved", WORDS[2])


def test_nothing_of_an_erased_user_is_left(
    kind: tuple[str, str],
    open_house: OpenHouse,
    make_store_address: Callable[[str], StoreAddress],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    store, provider = kind
    address = make_store_address(store)
    clock = Clock()
    house = open_house(store, provider, address=address, clock=clock)
    service: UpstreamProcess | None = request.getfixturevalue("service") if provider == "hosted" else None
    hosted_at = Path(service.database) if service else tmp_path / "provider.db"
    house.make("bystander", user_id="another")
    live(house)
    if address.shared:
        # The search itself finds what is there.
        before = dump(address)
        assert all(trace.encode() in before for trace in (USER, SESSION, WORDS[1], WORDS[2]))
    assert WORDS[0].encode() in files_of(hosted_at)

    # The first attempt fails half way, and the sweeper has a part in it.
    house.provider.fail("delete_response", first=1, times=1)
    house.delete(f"/sessions?user_id={USER}", 202)
    clock.advance(30)
    house.sweeper.sweep()

    assert house.ids() == ["bystander"]
    for query in (f"?user_id={USER}", f"?prefix={SESSION}", "?status=erasing"):
        assert house.ids(query) == []
    assert house.sessions.get(key(SESSION)) is None

    def left() -> list[str]:
        """Where SQLite is still read by somebody, its owner scrubs the file a moment later; and Redis has the name
        among the hints where to look until it is looked at, by the next sweep."""
        house.sweeper.sweep()
        places = {"store": dump(address), "provider": files_of(hosted_at)}
        return [f"{trace} in the {name}" for name, held in places.items() for trace in TRACES if trace.encode() in held]

    def gone() -> bool:
        assert left() == []
        return True

    eventually(gone)
    said = [record for record in caplog.records if record.name != "gateway.audit"]
    assert not traces_in(said)
    assert "an erasure is not finished yet" in text_of(said)
    # Who erased what is the one thing that has to be known afterwards: never what was said there.
    assert {USER, SESSION} >= set(traces_in(caplog.records))


def text_of(records: Iterable[logging.LogRecord]) -> str:
    return "\n".join(record.getMessage() + (record.exc_text or "") for record in records)


def traces_in(records: Iterable[logging.LogRecord]) -> list[str]:
    return [trace for trace in TRACES if trace in text_of(records)]
