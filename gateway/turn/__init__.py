"""The turn, from its place in the queue to its reply."""

from gateway.turn.order import Gateway

__all__ = ["Gateway"]
