"""The contract that every session store keeps, as tests to run on yours.

    import pytest
    from gateway.testing import SessionManagerContract, StoreAddress

    class TestOurStore(SessionManagerContract):
        @pytest.fixture
        def address(self, tmp_path):
            return StoreAddress(f"ours:{tmp_path / 'sessions'}", opener="our_package.store:open_ours")

The opener is that of your entry point, by which an installed store is found without it. Each test asks for the address
of a store that nobody has used, and opens it as often as it needs to, in processes of its own too: what the address
names must be importable there. `OneProcessContract` is for a store that other processes cannot see; `OutageContract`
adds what holds while the store is away, for those who can take it away. Needs pytest.
"""

import pkgutil

import pytest

# Before the modules are imported: their bare asserts are to say what they saw.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))

from gateway.testing.remote import StoreAddress  # noqa: E402
from gateway.testing.suite import OneProcessContract, OutageContract, SessionManagerContract  # noqa: E402
from gateway.testing.waiting import eventually  # noqa: E402

__all__ = ["OneProcessContract", "OutageContract", "SessionManagerContract", "StoreAddress", "eventually"]
