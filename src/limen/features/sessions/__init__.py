"""Sessions: what a person is signed in on, to see and to end."""

from limen.features.sessions.feature import Sessions

__all__ = ["Sessions"]
