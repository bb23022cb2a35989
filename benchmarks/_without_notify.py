"""The demo on PostgreSQL without LISTEN/NOTIFY: what is left is polling, and Valkey where `LIMEN_REDIS_URL` is set."""

from limen.db.notifications import listen
from limen.demo import app, auth

__all__ = ["app"]

follower = auth.kernel.follower
follower._listeners = [each for each in follower._listeners if getattr(each, "func", None) is not listen]
