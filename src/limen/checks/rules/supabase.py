"""8xx: the Supabase project that the app stands on."""

from collections.abc import Iterator

from limen.checks.check import Trouble, check
from limen.checks.evidence import Evidence


@check(
    "limen.E801",
    "Supabase cannot be reached",
    reason="Nobody signs in through it, and tokens whose key is not known yet are refused.",
    cure="Look at LIMEN_SUPABASE_URL (https://<project>.supabase.co): a project that was paused answers no more.",
)
def supabase_down(seen: Evidence) -> Iterator[Trouble]:
    if seen.supabase is not None and seen.supabase.outage:
        yield Trouble(f"{seen.supabase.url}: {seen.supabase.outage}", where="LIMEN_SUPABASE_URL")


@check(
    "limen.E802",
    "Supabase's keys cannot be used",
    reason="Its tokens are verified by the public keys that it publishes; without them every one is refused.",
    cure="In the project's settings, under JWT keys, move to asymmetric signing keys (ES256).",
)
def supabase_keys(seen: Evidence) -> Iterator[Trouble]:
    supabase = seen.supabase
    if supabase is not None and supabase.bad_keys and not supabase.has_legacy_secret:
        yield Trouble(supabase.bad_keys, where="LIMEN_SUPABASE_URL")


@check(
    "limen.W803",
    "Supabase's tokens are verified with a shared secret",
    reason="Whoever verifies with it can also sign: this app and everyone else who has it can be anybody.",
    cure="In the project's settings, move to asymmetric signing keys, then unset LIMEN_SUPABASE_JWT_SECRET.",
)
def supabase_shared_secret(seen: Evidence) -> Iterator[Trouble]:
    if seen.supabase is not None and seen.supabase.has_legacy_secret:
        yield Trouble("LIMEN_SUPABASE_JWT_SECRET is set", where="LIMEN_SUPABASE_JWT_SECRET")


@check(
    "limen.E804",
    "The key that passes every policy is used for signing in",
    reason="The service key skips row-level security; one mistake with it shows everything to everyone.",
    cure="Put the publishable (anon) key into LIMEN_SUPABASE_KEY, and make a new service key: this one was spread.",
)
def supabase_service_key(seen: Evidence) -> Iterator[Trouble]:
    if seen.supabase is not None and seen.supabase.has_service_key and not _says_it_itself(seen):
        yield Trouble("it is the service key", where="LIMEN_SUPABASE_KEY")


@check(
    "limen.E805",
    "Supabase is reached by plain http",
    reason="Whoever is on the way reads passwords and tokens, and answers with keys of their own.",
    cure="LIMEN_SUPABASE_URL=https://…",
)
def supabase_in_the_open(seen: Evidence) -> Iterator[Trouble]:
    if seen.supabase is not None and seen.supabase.is_exposed and not _says_it_itself(seen):
        yield Trouble(seen.supabase.url, where="LIMEN_SUPABASE_URL")


def _says_it_itself(seen: Evidence) -> bool:
    """The feature's own checks speak of its settings, at every start."""
    return seen.app is not None and "supabase" in seen.app.features
