"""Keys: shown once, kept as hashes, and none that is not kept opens anything."""

import itertools

import pytest

from gateway.auth.keys import KeyAuth, new_key
from gateway.auth.principals import Principal
from gateway.errors import UnauthorizedError
from gateway.model import ApiKey, Role

KEY, DIGEST = new_key("ci")
KEPT = {"ci": ApiKey("ci", DIGEST, "acme", Role.ADMIN, "ann", 0)}
authenticate = KeyAuth(KEPT.get)


def test_a_key_opens_what_it_was_made_for() -> None:
    assert authenticate(KEY) == Principal("key:ci", "acme", "ann", Role.ADMIN)


def test_what_is_kept_does_not_show_the_key() -> None:
    secret = KEY.removeprefix("gw_ci_")
    assert len(secret) == 43
    assert secret not in repr(KEPT)
    assert new_key("ci") != (KEY, DIGEST)


@pytest.mark.parametrize(
    "credential",
    [
        None,
        "",
        "gw_",
        KEY[:-1],
        KEY + "x",
        KEY[:-1] + ("a" if KEY[-1] != "a" else "b"),
        KEY.replace("gw_ci_", "gw_other_"),
        KEY.replace("gw_", "GW_"),
        f" {KEY}",
        f"gw_ci_{DIGEST}",
        new_key("ci")[0],
        KEY + "\n",
    ],
    ids=itertools.count(),  # not the keys themselves: every process of the suite makes others
)
def test_nothing_else_does(credential: str | None) -> None:
    with pytest.raises(UnauthorizedError):
        authenticate(credential)


def test_a_wrong_secret_and_a_wrong_name_read_the_same() -> None:
    with pytest.raises(UnauthorizedError) as wrong_secret:
        authenticate(new_key("ci")[0])
    with pytest.raises(UnauthorizedError) as wrong_name:
        authenticate(new_key("nobody")[0])
    assert wrong_secret.value.as_dict() == wrong_name.value.as_dict()


@pytest.mark.parametrize("name", ["", "a_b", "a/b", "ä", "a" * 65, "a b"])
def test_a_keys_name_is_checked(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        new_key(name)
