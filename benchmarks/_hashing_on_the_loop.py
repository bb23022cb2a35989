"""The demo as limen must not be: it hashes on the event loop, as an `async def` that calls Argon2 directly does."""

from limen import Passwords
from limen.core.passwords import PasswordHasher, Verification
from limen.demo import app, auth

__all__ = ["app"]


class OnTheLoop(PasswordHasher):
    """The same work at the same cost, where everybody else waits for it."""

    async def hash(self, password: str) -> str:
        return self._digests.make(password)

    async def verify(self, password: str, digest: str | None) -> Verification:
        return self._digests.judge(password, digest)


auth[Passwords].hasher = OnTheLoop()
