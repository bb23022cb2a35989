"""Security notices: people are told by mail of what happens to their account (ASVS 6.3.5, 6.3.7).

They are posted when an event is heard, after the commit that it tells of. A notice that cannot be posted is logged and
does not disturb what happened.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from limen.core.client import Client
from limen.core.conditions import Meter, Rate
from limen.core.device import device_name
from limen.core.opaque import parse_uuid
from limen.errors import TooManyRequests
from limen.events import (
    AccountDeleted,
    ApiKeyCreated,
    ApiKeyLeaked,
    Event,
    IdentityLinked,
    IdentityUnlinked,
    LoggedIn,
    PasswordChanged,
    RefreshReused,
    SessionsEnded,
)
from limen.features.mail.service import Letter, MailService
from limen.features.mail.store import DeviceStore, Seen

AT_MOST = Rate(requests=5, seconds=3600)
"""Notices of one kind to one account from one process: nobody fills somebody's mailbox through us."""

ENDED_BY_OTHERS = ("signed_out_by_admin",)
_INNOCENT = re.compile(r"[^\w \-]")
_MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Notice:
    """Which letter, and what it asks for."""

    template: str
    values: Mapping[str, object]


class Notices:
    """Hears events and posts what the account's owner should know."""

    def __init__(self, mail: MailService, devices: DeviceStore) -> None:
        self._mail = mail
        self._devices = devices
        self._meter = Meter(mail.kernel.clock)

    async def hear(self, event: Event) -> None:
        """Post the notice that an event asks for, if it does."""
        notice = notice_of(event)
        if isinstance(event, LoggedIn) and await self._is_from_new_device(event):
            notice = _new_device(event)
        if notice is None or event.subject is None:
            return
        address = await self._address_for(event)
        if address is not None and self._may_send(notice, event.subject):
            await self._mail.post(Letter(to=address, template=notice.template, values=notice.values))

    async def _is_from_new_device(self, event: LoggedIn) -> bool:
        """Not at the very first sign-in, and not where nothing is known of the client."""
        users = self._mail.kernel.users
        user_id, session_id = users.parse_key(event.subject or ""), parse_uuid(event.session_id)
        if user_id is None or session_id is None or not (event.client.ip or event.client.user_agent):
            return False
        seen = await self._devices.seen(user_id, but=session_id)
        return bool(seen) and not is_known(event.client, seen)

    async def _address_for(self, event: Event) -> str | None:
        """The stored address; a machine has no mailbox, and an address that is not the account's is a stranger's."""
        if isinstance(event, AccountDeleted):
            return event.email
        account = await self._mail.kernel.users.find_by_subject(event.subject or "")
        return None if account is None or account.held.is_service else account.mailbox

    def _may_send(self, notice: Notice, subject: str) -> bool:
        try:
            self._meter.take(f"{notice.template} {subject}", AT_MOST)
        except TooManyRequests:
            return False
        return True


def notice_of(event: Event) -> Notice | None:
    """What the owner should know of an event, as far as the event says it."""
    at = event.at
    match event:
        case PasswordChanged():
            return Notice("password_changed", {"at": at})
        case ApiKeyCreated():
            return Notice("key_created", {"key_name": innocent(event.name), "key_id": event.key_id, "at": at})
        case ApiKeyLeaked():
            return Notice("key_leaked", {"key_name": innocent(event.name), "key_id": event.key_id, "at": at})
        case SessionsEnded() if event.session_ids and event.reason in ENDED_BY_OTHERS:
            return Notice("sessions_ended", {"at": at})
        case IdentityLinked() if not event.by_sign_up:
            return Notice("identity_linked", {"provider": innocent(event.provider), "at": at})
        case IdentityUnlinked():
            return Notice("identity_unlinked", {"provider": innocent(event.provider), "at": at})
        case RefreshReused():
            return Notice("session_stolen", {"at": at})
        case AccountDeleted():
            return Notice("account_deleted", {"at": at})
    return None


def is_known(client: Client, seen: Iterable[Seen]) -> bool:
    """Whether one of these sign-ins was from the same device, as far as can be told.

    The same kind of device with the same user agent (wherever it is now) or from the same network (whatever version
    its browser has by now). Another kind of device is another device, in whatever network.
    """
    kind, network = device_name(client.user_agent), _network(client.ip)
    return any(
        device_name(each.user_agent) == kind
        and (each.user_agent == client.user_agent or (network is not None and _network(each.ip) == network))
        for each in seen
    )


def innocent(text: str) -> str:
    """A name that somebody chose, such that no mail program makes a link of it: these letters are believed."""
    return _INNOCENT.sub("·", text)[:_MAX_NAME]


def _new_device(event: LoggedIn) -> Notice:
    device = innocent(device_name(event.client.user_agent))
    return Notice("new_device", {"device": device, "address": event.client.ip or "unknown", "at": event.at})


def _network(ip: str | None) -> object:
    """The address, or the /64 of an IPv6 one: within it, devices change theirs daily (RFC 8981)."""
    if ip is None:
        return None
    address = ip_address(ip)
    return ip_network((address, 64), strict=False) if isinstance(address, IPv6Address) else address
