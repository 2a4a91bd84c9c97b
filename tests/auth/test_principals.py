"""Who somebody is decides which sessions are theirs, and no two can come to the same ones."""

import itertools

import pytest

from gateway.auth.principals import namespace, parse_tenant, parse_user

TENANTS = ["", "a", "ab", "a.b", "A", "t" * 64]
USERS = [None, "", "b", "a/b", "/b", "%2Fb", "b/", "B", "ä", "u" * 200, "u" * 199, "ä" * 200, "/" * 200]


def test_no_two_principals_share_a_namespace() -> None:
    made = [namespace(tenant, user) for tenant, user in itertools.product(TENANTS, USERS)]
    assert len(set(made)) == len(made)
    assert all(len(each) <= 200 for each in made)
    assert namespace("acme") == "acme"


@pytest.mark.parametrize("value", [None, "", "a/b", "a b", "ä", "t" * 65, 5])
def test_a_tenants_name_is_checked(value: object) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        parse_tenant(value)


@pytest.mark.parametrize("value", [None, "", "a\nb", "\ud800", "u" * 201, 5])
def test_a_users_id_is_checked(value: object) -> None:
    with pytest.raises(ValueError, match="1 to 200"):
        parse_user(value)
