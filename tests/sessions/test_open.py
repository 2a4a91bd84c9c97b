"""From a URL to a store, or to one line that says what is wrong with it."""

import sys
import traceback

import pytest

from gateway import open_sessions
from gateway.errors import ConfigurationError, GatewayError
from gateway.model import SessionKey
from gateway.sessions import SessionManager
from gateway.sessions.schemes import known_schemes

SECRET = "hunter2-and-a-half"
KEY = SessionKey("", "s")


def refusal(url, **options):
    """The line that a wrong URL gets."""
    with pytest.raises(ConfigurationError) as caught:
        open_sessions(url, **options).close()
    line = str(caught.value)
    assert line
    assert "\n" not in line
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return line


def test_every_scheme_of_the_house_is_known():
    wanted = {"memory", "json", "sqlite", "postgresql", "postgres", "mysql", "mariadb"}
    assert wanted | {"redis", "rediss", "redis+sentinel"} <= set(known_schemes())


@pytest.mark.parametrize("url", ["", "sessions.json", "redis", "/tmp/sessions.db"])
def test_what_has_no_scheme_is_no_url(url):
    line = refusal(url)
    assert "scheme" in line
    assert "sqlite" in line


@pytest.mark.parametrize("scheme", ["mongodb", "http", "jsonfile", "postgresql+psycopg"])
def test_an_unknown_scheme_is_named_and_so_are_the_known_ones(scheme):
    line = refusal(f"{scheme}://user:{SECRET}@127.0.0.1/db")
    assert repr(scheme) in line
    assert all(known in line for known in known_schemes())


@pytest.mark.parametrize("url", ["MEMORY:", "JSON:{}/sessions.json", "SQLITE:///{}/sessions.db"])
def test_a_scheme_may_be_written_in_capitals(url, tmp_path):
    with open_sessions(url.format(tmp_path)) as store:
        store.ping()


@pytest.mark.parametrize(
    "url",
    [
        "memory:something",
        "memory://somewhere",
        "json:",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        f"postgresql://user:{SECRET}@127.0.0.1:port/db",
        f"postgresql://user:{SECRET}@[::1/db",
        f"postgresql://user:{SECRET}@127.0.0.1/db?no_such_option=1",
        f"mysql://user:{SECRET}@127.0.0.1:port/db",
        f"mariadb://user:{SECRET}@127.0.0.1/db?no_such_option=1",
        f"redis://user:{SECRET}@127.0.0.1:port/0",
        f"redis://user:{SECRET}@127.0.0.1:999999/0",
        f"redis://user:{SECRET}@127.0.0.1/0?no_such_option=1",
        f"rediss://user:{SECRET}@127.0.0.1:port/0",
        f"redis+sentinel://user:{SECRET}@127.0.0.1:26379",
        f"redis+sentinel://user:{SECRET}@127.0.0.1:port/mymaster",
    ],
)
def test_a_bad_url_is_one_line_without_its_password(url):
    refusal(url)


@pytest.mark.parametrize("scheme", ["json:{}/sessions.json", "sqlite:///{}/sessions.db"])
def test_a_folder_that_is_not_there_is_named(scheme, tmp_path):
    assert str(tmp_path / "nowhere") in refusal(scheme.format(tmp_path / "nowhere"))


@pytest.mark.parametrize("scheme", ["json:{}", "sqlite:///{}"])
def test_a_folder_in_place_of_a_file_is_named(scheme, tmp_path):
    assert str(tmp_path) in refusal(scheme.format(tmp_path))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "mysql", "mariadb", "redis", "rediss"])
def test_a_server_that_is_not_there_is_reported_without_the_password(scheme, free_port):
    path = "0" if scheme.startswith("redis") else "db"
    url = f"{scheme}://user:{SECRET}@127.0.0.1:{free_port}/{path}"
    with pytest.raises((GatewayError, ConfigurationError)) as caught, open_sessions(url) as store:
        store.ping()
    assert "\n" not in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("scheme", "driver", "extra"),
    [
        ("postgresql", "psycopg", "postgres"),
        ("postgres", "psycopg", "postgres"),
        ("mysql", "pymysql", "mysql"),
        ("mariadb", "pymysql", "mysql"),
        ("redis", "redis", "redis"),
        ("rediss", "redis", "redis"),
        ("redis+sentinel", "redis", "redis"),
    ],
)
def test_a_missing_driver_is_named_with_the_extra_to_install(monkeypatch, scheme, driver, extra):
    for loaded in list(sys.modules):
        if loaded.partition(".")[0] == driver or loaded.startswith("gateway.sessions.redis"):
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, driver, None)
    line = refusal(f"{scheme}://user:{SECRET}@127.0.0.1:1/0")
    assert driver in line
    assert f"install conversation-gateway[{extra}]" in line


def test_another_package_can_offer_a_scheme(monkeypatch, tmp_path):
    (tmp_path / "offered_store.py").write_text(
        "from gateway.sessions.schemes import open_store\n\n\n"
        "def open_offered(url, *, prefix, terms):\n"
        "    store = open_store('memory:', prefix=prefix, terms=terms)\n"
        "    store.opened = (url, prefix)\n"
        "    return store\n"
    )
    info = tmp_path / "offered_store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offered-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[conversation_gateway.stores]\noffered = offered_store:open_offered\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "offered" in known_schemes()
    with open_sessions("offered://anywhere?x=1", prefix="p", lease_seconds=7) as store:
        assert isinstance(store, SessionManager)
        assert store.store.opened == ("offered://anywhere?x=1", "p")
        assert store.store.terms.lease_seconds == 7
        with store.turn(KEY) as turn:
            turn.bind("conv_1")
        assert store.get(KEY).conversation_id == "conv_1"


def test_an_offered_scheme_does_not_take_the_place_of_one_of_the_house(monkeypatch, tmp_path):
    info = tmp_path / "impostor-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: impostor\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[conversation_gateway.stores]\nmemory = no_such_module:open\n")
    monkeypatch.syspath_prepend(tmp_path)
    with open_sessions("memory:") as store:
        store.ping()


def test_two_prefixes_are_two_stores(make_store_address):
    url = make_store_address("sqlite").url
    with open_sessions(url, prefix="one") as one, open_sessions(url, prefix="two") as two:
        with one.turn(KEY) as turn:
            turn.bind("conv_1")
        assert one.get(KEY) is not None
        assert two.get(KEY) is None


def test_a_store_that_is_opened_again_holds_what_it_held(make_store_address):
    for name in ("json", "sqlite"):
        url = make_store_address(name).url
        with open_sessions(url) as store, store.turn(KEY) as turn:
            bound = turn.bind("conv_1")
        with open_sessions(url) as store:
            assert store.get(KEY) == bound
