"""What tests of an app on limen need: signed-in clients, time that can be turned, its mail, cheap hashing.

    def test_editors_may_write(auth_client):             # with `limen_app = "main:app"` in pytest's settings
        editor = auth_client.as_user(roles=["editor"])
        assert editor.post("/items", json={"name": "lamp"}).status_code == 201

Without the plugin's fixtures:

    clock = FakeClock()
    auth = Auth(clock=clock, features=[Passwords(hasher=fast_hasher()), Tokens(), Sessions(), Accounts(), Roles()])
    alice = await as_user(auth, roles=["editor"])
    client.get("/items", headers=alice.headers)

Each name loads on first use: pytest imports this package wherever limen is installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limen.testing.agreement import assert_filter_agrees
    from limen.testing.attacking import attack
    from limen.testing.clients import AsyncAuthClient, AuthClient, Letters
    from limen.testing.clock import FakeClock, turned_clock
    from limen.testing.mailbox import Outbox, ReceivedLetter, outbox
    from limen.testing.matrix import Matrix, call_matrix
    from limen.testing.people import PASSWORD, SignedIn, as_user, create_tables, fast_hasher
    from limen.testing.provider import FakePerson, FakeProvider
    from limen.testing.rehearsal import Rehearsal, rehearse

__all__ = [
    "PASSWORD",
    "AsyncAuthClient",
    "AuthClient",
    "FakeClock",
    "FakePerson",
    "FakeProvider",
    "Letters",
    "Matrix",
    "Outbox",
    "ReceivedLetter",
    "Rehearsal",
    "SignedIn",
    "as_user",
    "assert_filter_agrees",
    "attack",
    "call_matrix",
    "create_tables",
    "fast_hasher",
    "outbox",
    "rehearse",
    "turned_clock",
]

_ROOMS = {
    "PASSWORD": "people",
    "AsyncAuthClient": "clients",
    "AuthClient": "clients",
    "FakeClock": "clock",
    "FakePerson": "provider",
    "FakeProvider": "provider",
    "Letters": "clients",
    "Matrix": "matrix",
    "Outbox": "mailbox",
    "ReceivedLetter": "mailbox",
    "Rehearsal": "rehearsal",
    "SignedIn": "people",
    "as_user": "people",
    "assert_filter_agrees": "agreement",
    "attack": "attacking",
    "call_matrix": "matrix",
    "create_tables": "people",
    "fast_hasher": "people",
    "outbox": "mailbox",
    "rehearse": "rehearsal",
    "turned_clock": "clock",
}


def __getattr__(name: str) -> object:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module 'limen.testing' has no attribute {name!r}")
    value: object = getattr(import_module(f"limen.testing.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
