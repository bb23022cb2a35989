"""The demo on PostgreSQL without LISTEN/NOTIFY: what is left is polling, and Valkey where `LIMEN_REDIS_URL` is set."""

from limen.db import notifications

notifications.can_notify = lambda _: False

from limen.demo import app  # noqa: E402 - it asks when it is imported

__all__ = ["app"]
