"""The contract that every session store keeps, as tests to run on yours.

    import pytest
    from gateway.testing import SessionManagerContract, StoreAddress

    class TestOurStore(SessionManagerContract):
        @pytest.fixture
        def address(self, tmp_path):
            return StoreAddress(f"ours:{tmp_path / 'sessions'}", opener="our_package.store:open_ours")

Each test asks for the address of a store that nobody has used, and opens it as often as it needs to, in processes of
its own too: what the address names must be importable there. `OneProcessContract` is for a store that other processes
cannot see; `OutageContract` adds what holds while the store is away, for those who can take it away. Needs pytest.
"""

import pytest

# Before the modules are imported: their bare asserts are to say what they saw.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "api_keys",
            "contract",
            "crashes",
            "edits",
            "encryption",
            "erasure",
            "errands",
            "givens",
            "idempotency",
            "lifetime",
            "listing",
            "mapping",
            "outage",
            "putting",
            "queue",
            "records",
            "renaming",
            "waiting",
        )
    )
)

from gateway.testing.remote import StoreAddress  # noqa: E402
from gateway.testing.suite import OneProcessContract, OutageContract, SessionManagerContract  # noqa: E402
from gateway.testing.waiting import eventually  # noqa: E402

__all__ = ["OneProcessContract", "OutageContract", "SessionManagerContract", "StoreAddress", "eventually"]
