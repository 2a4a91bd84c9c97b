"""The local provider: hosted conversations without a host."""

from gateway.providers.local.provider import LocalProvider
from gateway.providers.local.wire import WireError

__all__ = ["LocalProvider", "WireError"]
