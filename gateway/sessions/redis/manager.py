"""The store itself, put together out of its steps."""

from __future__ import annotations

from gateway.sessions.redis.api_keys import KeySteps
from gateway.sessions.redis.end_steps import EndSteps
from gateway.sessions.redis.session_steps import SessionSteps
from gateway.sessions.redis.turn_steps import TurnSteps


class RedisSessionManager(TurnSteps, SessionSteps, EndSteps, KeySteps):
    """Sessions in Redis or Valkey: many hosts, few connections, one script a step."""
