"""Declares the feature `limits`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Table

from limen.core.conditions import Meter, Rate
from limen.core.devices import Devices
from limen.core.tries import Budget, parse_budget
from limen.core.turns import Turns
from limen.db.tables import Tables
from limen.errors import ConfigurationError
from limen.feature import Feature
from limen.features.limits.service import LimitService, Plan
from limen.features.limits.steps import Challenge
from limen.features.limits.store import DatabaseTries, MemoryTries, RedisTries, TryStore
from limen.features.limits.tables import try_table
from limen.kernel import Kernel
from limen.settings import load


def _checked(text: str) -> str:
    parse_budget(text)
    return text.strip()


Limit = Annotated[str, AfterValidator(_checked)]


class LimitSettings(BaseSettings):
    """`LIMEN_…_LIMIT` and `LIMEN_LIMITS_…`: how many tries in how long, such as `10/5minutes`, or `off`."""

    model_config = SettingsConfigDict(
        env_prefix="LIMEN_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    login_limit: Limit = Field(
        default="10/5minutes", description="failed passwords per account; `off` turns off all others per account"
    )
    address_limit: Limit = Field(
        default="30/minute", description="failed passwords per address; `off` turns off all others per address"
    )
    limits_register: Limit = Field(default="20/hour", description="registrations with one e-mail address")
    limits_register_address: Limit = Field(default="600/hour", description="registrations from one address")
    limits_forgot: Limit = Field(default="10/hour", description="forgotten passwords of one account")
    limits_forgot_address: Limit = Field(default="300/hour", description="the same from one address")
    limits_verify: Limit = Field(default="20/hour", description="verifications of one e-mail address")
    limits_verify_address: Limit = Field(default="300/hour", description="the same from one address")
    limits_magic_link: Limit = Field(default="10/hour", description="sign-in links to one account")
    limits_magic_link_address: Limit = Field(default="300/hour", description="the same from one address")
    limits_code: Limit = Field(
        default="10/hour", description="wrong codes of one account, each purpose by itself; links are not counted here"
    )
    limits_code_address: Limit = Field(default="60/hour", description="the same from one address")
    limits_other: Limit = Field(default="30/hour", description="whatever else is limited, per account")
    limits_other_address: Limit = Field(default="300/hour", description="the same from one address")
    limits_refresh: Limit = Field(
        default="600/minute", description="bad refresh tokens from one address, in each process"
    )
    limits_key: Limit = Field(default="600/minute", description="bad API keys from one address, in each process")
    limits_client: Limit = Field(
        default="600/minute", description="failed proofs of OAuth clients from one address, in each process"
    )
    limits_replay: Limit = Field(
        default="3000/minute", description="access tokens by refresh within the grace, per session, in each process"
    )
    limits_store: Literal["auto", "memory", "database", "redis"] = Field(
        default="auto", description="`auto`: Redis where `LIMEN_REDIS_URL` is set, else the database"
    )
    limits_challenge: Literal["late", "always"] = Field(
        default="late", description="a challenge is asked when half of a budget is used up, or each time"
    )


class Limits(LimitService, Feature):
    """Bounds guesses and floods by account and by address, exactly, over every worker.

    Args:
        challenge: a captcha, such as `SiteVerify("turnstile", …)`; none by default.
        challenged: the actions that ask it, of `login`, `register`, `forgot`, `verify`, `magic_link` and those of your
            own services; the bodies have a field `challenge`.
        settings: instead of the environment and `.env`.
    """

    name = "limits"
    settings: ClassVar[type[BaseSettings]] = LimitSettings

    def __init__(
        self,
        *,
        challenge: Challenge | None = None,
        challenged: Iterable[str] = ("login", "register"),
        settings: LimitSettings | None = None,
    ) -> None:
        self.challenge = challenge
        self.challenged = frozenset(challenged)
        self._given = settings

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        given = self._given or load(LimitSettings)
        self.plans, self.rates = _plans(given), _rates(given)
        self.challenges_always = given.limits_challenge == "always"
        self._key = kernel.derived_keys("limits")[0]
        self._announced, self._shut = {}, {}
        self.devices = Devices(kernel.derived_keys("known device"))
        self.turns = Turns()
        self.meter = Meter(kernel.clock)
        self.table = try_table(kernel.tables)  # in the metadata wherever tries are kept
        self.store = _store(given.limits_store, kernel, self.table)
        kernel.follower.purge_by("limits", self.store.purge)
        kernel.limits.keep_by(self)

    def tables(self, kernel_tables: Tables) -> Sequence[Table]:
        return (try_table(kernel_tables),)

    async def stop(self) -> None:
        self._announced.clear()  # started again, it may stand on another store
        self._shut.clear()
        await self.store.aclose()


def _store(named: str, kernel: Kernel, table: Table) -> TryStore:
    """The database unless there is Redis: nothing says how many workers there are, and beside a hash it costs nothing.

    Raises:
        ConfigurationError: Redis is asked for and not configured.
    """
    url = kernel.settings.redis_url
    if named == "redis" and url is None:
        raise ConfigurationError("LIMEN_LIMITS_STORE is redis and LIMEN_REDIS_URL is not set")
    if url is not None and named in ("auto", "redis"):
        return RedisTries(url.get_secret_value(), kernel.settings.issuer)
    if named == "memory":
        return MemoryTries(kernel.clock)
    return DatabaseTries(kernel.database, table, kernel.clock)


def _plans(given: LimitSettings) -> Mapping[str, Plan]:
    login, address = parse_budget(given.login_limit), parse_budget(given.address_limit)
    others = {
        "register": (given.limits_register, given.limits_register_address),
        "forgot": (given.limits_forgot, given.limits_forgot_address),
        "verify": (given.limits_verify, given.limits_verify_address),
        "magic_link": (given.limits_magic_link, given.limits_magic_link_address),
        "other": (given.limits_other, given.limits_other_address),
    }
    plans = {
        action: Plan(
            by_account=_budget(_unless_off(given, f"limits_{action}", by_account, off=login is None)),
            by_address=_budget(_unless_off(given, f"limits_{action}_address", by_address, off=address is None)),
        )
        for action, (by_account, by_address) in others.items()
    }
    link = replace(plans["magic_link"], knows=True)  # a link is good where it was asked for: strangers ask elsewhere
    code = _code_plan(given, off=(login is None, address is None))
    return {
        "login": Plan(by_account=_growing(login), by_address=_budget(address), waits=True, knows=True),
        **plans,
        "magic_link": link,
        "verify_code": code,
        "magic_link_code": code,
    }


def _code_plan(given: LimitSettings, *, off: tuple[bool, bool]) -> Plan:
    """Six digits are guessed sooner than a password is: who uses it up again and again waits longer and longer."""
    by_account = _unless_off(given, "limits_code", given.limits_code, off=off[0])
    by_address = _unless_off(given, "limits_code_address", given.limits_code_address, off=off[1])
    return Plan(by_account=_growing(by_account), by_address=_budget(by_address), waits=True)


def _rates(given: LimitSettings) -> Mapping[str, Rate | None]:
    off = parse_budget(given.address_limit) is None
    rates = {
        "refresh": given.limits_refresh,
        "key": given.limits_key,
        "client": given.limits_client,
        "replay": given.limits_replay,
    }
    return {action: _unless_off(given, f"limits_{action}", text, off=off) for action, text in rates.items()}


def _unless_off(given: LimitSettings, name: str, text: str, *, off: bool) -> Rate | None:
    """What the setting says; where it is not set and its kind is off, it is off too."""
    return None if off and name not in given.model_fields_set else parse_budget(text)


def _growing(rate: Rate | None) -> Budget | None:
    return None if rate is None else Budget.growing(rate)


def _budget(rate: Rate | None) -> Budget | None:
    return None if rate is None else Budget((rate,))
