"""Database URLs: each scheme has its driver, and no password is ever in a message."""

import sys

import pytest

from gateway.database.drivers import address_of, parse_url, server_engine
from gateway.errors import ConfigurationError


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("sqlite:///words.db", "sqlite:///words.db"),
        ("postgres://u:p%40@h/d?sslmode=require", "postgresql+psycopg://u:p%40@h/d?sslmode=require"),
        ("postgresql://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("mysql://u@h/d", "mysql+pymysql://u@h/d"),
        ("mariadb://u@h/d", "mysql+pymysql://u@h/d"),
        ("MySQL://u@h/d", "mysql+pymysql://u@h/d"),
    ],
)
def test_each_scheme_has_its_driver(given: str, understood: str) -> None:
    assert parse_url(given).render_as_string(hide_password=False) == understood


@pytest.mark.parametrize("url", ["postgresql://u:secret@h:port/d", "mysql://u:secret@h:999999x/d"])
def test_a_url_that_cannot_be_read_is_not_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_url(url)
    assert url.partition(":")[0] in str(refused.value)
    assert "secret" not in str(refused.value)


def test_an_address_is_for_people() -> None:
    assert address_of(parse_url("postgres://u:secret@h:5432/d?sslmode=require")) == "u:***@h:5432/d"


def test_a_driver_that_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(ConfigurationError, match=r"install conversation-gateway\[mysql\]") as refused:
        server_engine(parse_url("mysql://u:secret@127.0.0.1/d"))
    assert "secret" not in str(refused.value)


def test_what_the_url_says_of_patience_goes_before() -> None:
    given = server_engine(parse_url("postgresql://h/d?connect_timeout=2"))
    _, arguments = given.dialect.create_connect_args(given.url)
    assert arguments["connect_timeout"] == "2"
