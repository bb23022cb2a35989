"""Decides whether one more try may be made: by address, by account, and by the device that the account knows."""

import hmac
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

import anyio
from opentelemetry import metrics

from limen.core import base64url, tries
from limen.core.client import NOWHERE, Client
from limen.core.conditions import Meter, Rate
from limen.core.devices import Devices
from limen.core.limits import Attempt, by_id, id_in
from limen.core.login import Cookie
from limen.core.tries import PENDING, SPENT, TAG, Budget
from limen.core.turns import Turns
from limen.errors import (
    ChallengeRequired,
    InvalidClient,
    InvalidCredential,
    InvalidGrant,
    NotFound,
    TooManyRequests,
    Unavailable,
)
from limen.events import LimitCleared, LimitReached
from limen.features.limits.steps import Challenge
from limen.features.limits.store import TryStore
from limen.kernel import Kernel

_log = logging.getLogger("limen.limits")
_refusals = metrics.get_meter("limen").create_counter("limen.limits.refused", description="tries that a limit refused")

ADDRESS, ACCOUNT, DEVICE = "address", "account", "device"
PATIENCE_SECONDS = 10.0
"""How long a try waits for others whose outcome decides whether there is room for it."""
LOOK_SECONDS = 0.05
DEVICE_SECONDS = 180 * 86_400
MAX_ANNOUNCED = 1000
SHUT_SECONDS = 1.0
MAX_SHUT = 1000

_BAD = (InvalidCredential, InvalidGrant, InvalidClient)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one action may use up; None for no limit.

    Attributes:
        waits: whether its tries have an outcome that is told, so that good ones wait for each other instead of being
            refused because others are under way.
        knows: whether the owner's devices have a budget of their own.
    """

    by_account: Budget | None
    by_address: Budget | None
    waits: bool = False
    knows: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """One try while it is being counted."""

    action: str
    plan: Plan
    client: Client
    account: str | None
    tag: str
    marks: dict[str, str] = field(default_factory=dict)


class _Full(Exception):
    """A line has no room; `marks` is the line."""

    def __init__(self, marks: str, wait: int) -> None:
        super().__init__("no room")
        self.marks = marks
        self.wait = wait


class _Counted(Attempt):
    """A try that holds its places until its outcome is told."""

    def __init__(self, store: TryStore, turns: Turns, marks: Mapping[str, str]) -> None:
        self._store = store
        self._turns = turns
        self._marks = dict(marks)

    async def give_back(self) -> None:
        marks, self._marks = self._marks, {}
        await self._settle({name: (own, "") for name, own in marks.items()})

    async def spend(self) -> None:
        marks, self._marks = self._marks, {}
        await self._settle({name: (own, tries.settled(own)) for name, own in marks.items() if own[-1] == PENDING})

    async def _settle(self, changes: Mapping[str, tuple[str, str]]) -> None:
        if not changes:
            return
        try:
            await self._store.settle(changes)
        except Unavailable as outage:  # the outcome stands; its places count until their time is over
            _log.warning("the outcome of a try was not written: %s", outage.reason)
        for name in changes:
            self._turns.tell(name)


class LimitService:
    """Counts tries before the work that they cost.

    Attributes:
        plans: by action; `other` is for those that have none.
        rates: of what is counted in each process by itself, by action.
        challenge: asked of `challenged` actions when half of a budget is used up, or always.
    """

    kernel: Kernel
    store: TryStore
    plans: Mapping[str, Plan]
    rates: Mapping[str, Rate | None]
    devices: Devices
    turns: Turns
    meter: Meter
    challenge: Challenge | None
    challenged: frozenset[str]
    challenges_always: bool
    _key: bytes
    _announced: dict[str, float]
    _shut: dict[str, tuple[float, str]]

    async def take(self, action: str, *, client: Client = NOWHERE, account: str | None = None) -> Attempt:
        """Count one try, or refuse it.

        Raises:
            TooManyRequests: the budget of the address or of the account is used up; nothing was counted.
            ChallengeRequired: the client must first show that a person sits there.
            Unavailable: the store is down, or too many tries wait.
        """
        plan = self.plans.get(action) or self.plans["other"]
        one = _Try(action=action, plan=plan, client=client, account=account, tag=self._source(client, account))
        attempt = None
        try:
            used = [await self._count_address(one), await self._count_account(one)]
            attempt = _Counted(self.store, self.turns, one.marks)
            if self.challenge is not None and (self.challenges_always or any(used)):
                await self._ask(self.challenge, one, attempt)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await (attempt or _Counted(self.store, self.turns, one.marks)).give_back()
            raise
        return attempt

    @contextmanager
    def failing(self, action: str, *, client: Client) -> Iterator[None]:
        """Refuse a client that failed too often of late; count it when the block refuses what the client shows.

        Raises:
            TooManyRequests: it did.
        """
        rate, address = self.rates[action], canonical_address(client.ip)
        if rate is None or address is None:
            yield
            return
        name = f"{action} {address}"
        self.meter.check(name, rate)
        try:
            yield
        except _BAD:
            self.meter.take(name, rate)
            raise

    def pace(self, action: str, name: str) -> None:
        """Count one use of `name` in this process.

        Raises:
            TooManyRequests: there were too many of late.
        """
        rate = self.rates[action]
        if rate is not None:
            self.meter.take(f"{action} {name}", rate)

    def device(self, subject: str, client: Client) -> Cookie | None:
        """What a browser keeps, so that it is known when this user signs in there again."""
        if not client.is_browser:
            return None
        known = self.devices.read(client.device_cookie, subject)
        return Cookie(value=self.devices.mint(subject, device=known), max_age=DEVICE_SECONDS)

    async def clear(self, user: object, *, client: Client = NOWHERE) -> None:
        """Give an account its tries back, of every action; what its addresses used up stays used up.

        Raises:
            NotFound: there is no such user.
        """
        users = self.kernel.users
        account = await users.find(users.key_of(user))
        if account is None:
            raise NotFound("no such user")
        names = (account.columns["email_canonical"], account.columns["username_canonical"])
        for action in self.plans:
            for name in (by_id(account.subject), *names):
                if name is not None:
                    await self.store.forget(self._line(action, ACCOUNT, str(name)))
        self._shut.clear()
        await self.kernel.events.publish(
            LimitCleared(at=self.kernel.clock.now(), subject=account.subject, client=client)
        )

    async def _count_address(self, one: _Try) -> bool:
        address, budget = canonical_address(one.client.ip), one.plan.by_address
        if address is None or budget is None:
            return False
        try:
            return await self._count(one, self._line(one.action, ADDRESS, address), budget)
        except _Full as full:
            raise await self._refusal(one, ADDRESS, full.wait) from None

    async def _count_account(self, one: _Try) -> bool:
        """By the budget that all strangers share; where it is used up, by what is left to a device that is known."""
        budget = one.plan.by_account
        if one.account is None or budget is None:
            return False
        line = self._line(one.action, ACCOUNT, one.account)
        try:
            return await self._count(one, line, budget)
        except _Full as full:
            if not one.plan.knows or not await self._is_known(one.client, one.account):
                raise await self._refusal(one, ACCOUNT, full.wait) from None
            own = tries.counted(full.marks, budget, self.kernel.clock.time(), tag=one.tag)
            left, wait = budget.less(own), full.wait
        if left is None:
            raise await self._refusal(one, DEVICE, wait)
        try:
            return await self._count(one, f"{line}.{one.tag}", left)
        except _Full as full:
            raise await self._refusal(one, DEVICE, full.wait) from None

    async def _count(self, one: _Try, line: str, budget: Budget) -> bool:
        """Take a place in a line; whether more than half of the first rate is used up then.

        Raises:
            _Full: there is none, and what is under way would not leave one.
        """
        async with self.turns.of(line):
            until = time.monotonic() + PATIENCE_SECONDS
            while True:
                now = self.kernel.clock.time()
                if line in self._shut and now < self._shut[line][0]:
                    raise _Full(self._shut[line][1], tries.standing(self._shut[line][1], budget, now).wait)
                own = tries.mark(now, tag=one.tag, state=PENDING if one.plan.waits else SPENT)
                one.marks[line] = own  # before it is known, so that whoever hangs up meanwhile leaves nothing behind
                taken, marks = await self.store.take(line, own, budget, now)
                if taken:
                    return 2 * tries.counted(marks, budget, now)[0] > budget.rates[0].requests
                del one.marks[line]
                standing = tries.standing(marks, budget, now)
                if standing.is_certain:
                    self._shut_for_a_moment(line, marks, now)
                if standing.is_certain or time.monotonic() >= until:
                    raise _Full(marks, standing.wait)
                await self.turns.news(line, seconds=LOOK_SECONDS)

    def _shut_for_a_moment(self, line: str, marks: str, now: float) -> None:
        """A flood of refused tries costs the store one look a second, not one each."""
        if len(self._shut) >= MAX_SHUT:
            self._shut.clear()
        self._shut[line] = (now + SHUT_SECONDS, marks)

    async def _ask(self, challenge: Challenge, one: _Try, attempt: _Counted) -> None:
        """A wrong answer is a try; a missing one is none. Whoever shows a token of a mail is asked nothing."""
        if one.action not in self.challenged or one.client.ip is None or one.account is None:
            return
        if one.client.challenge:
            if await challenge.verify(one.client.challenge, one.client):
                return
            await attempt.spend()
        data = {"challenge": challenge.name, "site_key": challenge.site_key}
        raise ChallengeRequired("a challenge is asked", data=data, action=one.action)

    async def _refusal(self, one: _Try, by: str, wait: int) -> TooManyRequests:
        _refusals.add(1, {"action": one.action, "by": by})
        await self._announce(one, by, wait)
        return TooManyRequests("a limit is reached", retry_after=wait, action=one.action, by=by)

    async def _announce(self, one: _Try, by: str, wait: int) -> None:
        """Say it once for as long as it lasts: whoever is refused does not write the log."""
        now = self.kernel.clock.time()
        name = f"{one.action} {by} {one.client.ip if by == ADDRESS else one.account}"
        if self._announced.get(name, 0.0) > now:
            return
        if len(self._announced) >= MAX_ANNOUNCED:
            self._announced.clear()
        self._announced[name] = now + wait
        _log.warning("a limit is reached: %s by %s, for %s s", one.action, by, wait)
        event = LimitReached(
            at=self.kernel.clock.now(),
            subject=id_in(one.account or ""),
            client=one.client,
            action=one.action,
            budget=by,
            retry_after=wait,
        )
        await self.kernel.events.publish(event)

    async def _is_known(self, client: Client, account: str) -> bool:
        """Whether the account's owner signed in before in this browser, or from this address.

        An account that there is not is looked for alike, so that the time does not tell.
        """
        subject = id_in(account)
        user_id = None if subject is None else self.kernel.users.parse_key(subject)
        addresses = await self.kernel.sessions.addresses_of(user_id)
        if self.devices.read(client.device_cookie, subject or "") is not None and subject is not None:
            return True
        here = canonical_address(client.ip)
        return here is not None and here in {canonical_address(each) for each in addresses}

    def _source(self, client: Client, account: str | None) -> str:
        """What tells the tries of one device from others': its cookie if it is known by one, else its address."""
        device = self.devices.read(client.device_cookie, id_in(account or "") or "")
        return self._mac("source", device or canonical_address(client.ip) or "")[:TAG]

    def _line(self, action: str, kind: str, value: str) -> str:
        """The name of a line: no address and no account can be read from it."""
        return f"{action[:24]}.{kind}.{self._mac(f'{action} {kind}', value)}"

    def _mac(self, purpose: str, value: str) -> str:
        text = f"{purpose}\x00{value}".encode("utf-8", errors="surrogatepass")
        return base64url.encode(hmac.digest(self._key, text, "sha256")[:16])


def canonical_address(text: str | None) -> str | None:
    """What counts as one address: an IPv4 address, or an IPv6 network of 64 bits, which is what one customer gets."""
    if text is None:
        return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    return str(address) if address.version == 4 else str(ip_network(f"{address}/64", strict=False))
