"""The parts of the contract put together."""

from __future__ import annotations

from gateway.testing.api_keys import KeysAcrossProcesses, KeysContract
from gateway.testing.crashes import CrashesAcrossProcesses, CrashesContract
from gateway.testing.edits import EditsAcrossProcesses, EditsContract
from gateway.testing.encryption import EncryptionContract, EncryptionOfWhatIsKept
from gateway.testing.erasure import ErasureAcrossProcesses, ErasureContract
from gateway.testing.idempotency import IdempotencyAcrossProcesses, IdempotencyContract
from gateway.testing.lifetime import LifetimeContract
from gateway.testing.listing import ListingContract
from gateway.testing.mapping import MappingAcrossProcesses, MappingContract
from gateway.testing.outage import OutageContract
from gateway.testing.ownership import OwnershipContract
from gateway.testing.putting import PuttingAcrossProcesses, PuttingContract
from gateway.testing.queue import QueueAcrossProcesses, QueueContract
from gateway.testing.records import RecordsContract
from gateway.testing.renaming import RenamingAcrossProcesses, RenamingContract

__all__ = ["OneProcessContract", "OutageContract", "SessionManagerContract"]


class OneProcessContract(
    MappingContract,
    QueueContract,
    RecordsContract,
    OwnershipContract,
    CrashesContract,
    IdempotencyContract,
    ListingContract,
    EditsContract,
    LifetimeContract,
    ErasureContract,
    RenamingContract,
    PuttingContract,
    KeysContract,
    EncryptionContract,
):
    """What also a store keeps that no other process can see."""


class SessionManagerContract(
    OneProcessContract,
    MappingAcrossProcesses,
    QueueAcrossProcesses,
    CrashesAcrossProcesses,
    IdempotencyAcrossProcesses,
    EditsAcrossProcesses,
    ErasureAcrossProcesses,
    RenamingAcrossProcesses,
    PuttingAcrossProcesses,
    KeysAcrossProcesses,
    EncryptionOfWhatIsKept,
):
    """The whole contract of a store."""
