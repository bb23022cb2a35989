"""4xx: a token that was made for the trial, forged ones, and the clocks that decide when one ends."""

from collections.abc import Iterator

from limen.checks.check import Trouble, check
from limen.checks.evidence import Evidence

LEAST_OFFSET = 2.0


@check(
    "limen.E401",
    "The app refuses its own tokens",
    reason="Nobody who signs in would get any further.",
    cure="The sentence says what is compared: keys (`limen keys list`), LIMEN_BASE_URL, LIMEN_AUDIENCE, the clock.",
)
def round_trip_fails(seen: Evidence) -> Iterator[Trouble]:
    if seen.tokens is not None and seen.tokens.failure:
        yield Trouble(seen.tokens.failure, where=seen.name)


@check(
    "limen.E402",
    "A forged token is accepted",
    reason="Anybody comes in as anybody.",
    cure="Take out the scheme of the app's own that accepts it: `limen routes` names the schemes.",
)
def forgery_accepted(seen: Evidence) -> Iterator[Trouble]:
    for name in seen.tokens.accepted if seen.tokens else ():
        yield Trouble(name, where=seen.name)


@check(
    "limen.W403",
    "Two clocks differ",
    reason="Tokens are refused as expired, or as issued in the future, by whoever's clock differs.",
    cure="Run NTP (chrony, systemd-timesyncd) on both machines; LIMEN_CLOCK_LEEWAY_SECONDS covers a few seconds.",
)
def clocks_differ(seen: Evidence) -> Iterator[Trouble]:
    leeway = max(LEAST_OFFSET, seen.settings.clock_leeway_seconds if seen.settings else 0)
    clocks = {
        "the database's": seen.database.clock_ahead if seen.database else None,
        "the issuer's": seen.issuer_clock_ahead,
    }
    for whose, ahead in clocks.items():
        if ahead is not None and abs(ahead) > leeway:
            direction = "ahead of" if ahead > 0 else "behind"
            yield Trouble(f"{whose} clock is {abs(ahead):.0f} s {direction} the app's", where="clock")
