"""2xx: the secret and the other settings."""

from collections.abc import Iterator

from limen.checks.check import Trouble, check
from limen.checks.evidence import Evidence
from limen.settings import HOW_TO_MAKE_ONE

MIN_BITS = 96
ACCESS_MINUTES = (15, 30)
REFRESH_DAYS = (7, 30)


@check(
    "limen.E201",
    "There is no secret",
    reason="It signs tokens, and the keys for refresh tokens and for what is encrypted at rest are derived from it.",
    cure=f"`limen init`, or put LIMEN_SECRET_KEY=… into .env with a value from {HOW_TO_MAKE_ONE}",
)
def secret_missing(seen: Evidence) -> Iterator[Trouble]:
    if not seen.secret.name and seen.sources.speaks_of_limen:
        yield Trouble("LIMEN_SECRET_KEY is not set; the rest was looked at with one for once", where="LIMEN_SECRET_KEY")


@check(
    "limen.E202",
    "The secret cannot be one",
    reason="HS256 needs 32 bytes (RFC 7518 §3.2), and what is public cannot be a secret. limen does not start with it.",
    cure=f"Make a new one: {HOW_TO_MAKE_ONE}",
)
def secret_refused(seen: Evidence) -> Iterator[Trouble]:
    if seen.secret.refusal:
        yield Trouble(seen.secret.refusal, where=seen.secret.name)


@check(
    "limen.E203",
    "The secret is known to everyone",
    reason="It is printed in a tutorial. Whoever can read signs tokens as anybody.",
    cure=f"Make a new one: {HOW_TO_MAKE_ONE}",
)
def secret_is_public(seen: Evidence) -> Iterator[Trouble]:
    if seen.secret.is_public:
        yield Trouble("it is the one of a tutorial", where=seen.secret.name)


@check(
    "limen.W204",
    "The secret can be guessed",
    reason="A token in hand is enough to try secrets at home, billions in a second.",
    cure=f"Make a random one: {HOW_TO_MAKE_ONE}",
)
def secret_is_weak(seen: Evidence) -> Iterator[Trouble]:
    secret = seen.secret
    if not secret.name or secret.refusal or secret.is_public:
        return
    if secret.is_placeholder:
        yield Trouble("it reads like a placeholder", where=secret.name)
    elif secret.bits < MIN_BITS:
        yield Trouble(f"its spelling holds {secret.bits:.0f} bits at most; {MIN_BITS} are few", where=secret.name)


@check(
    "limen.E205",
    "The secret is in the repository",
    reason="Everyone who ever gets a clone has it, and deleting the file leaves it in the history.",
    cure="`git rm --cached` the file, make a new secret, and keep the old one in LIMEN_SECRET_KEY_FALLBACKS no longer "
    "than its tokens live.",
)
def secret_is_committed(seen: Evidence) -> Iterator[Trouble]:
    for path in seen.secret.committed_in:
        yield Trouble("git has it", where=path)


@check(
    "limen.W206",
    ".env would be committed",
    reason="The next `git add .` puts the secret into the repository.",
    cure="Add the line `.env` to .gitignore.",
)
def env_file_not_ignored(seen: Evidence) -> Iterator[Trouble]:
    file = seen.env_file
    if file.exists and file.in_repository and not (file.is_ignored or file.is_tracked):
        yield Trouble("git does not ignore it", where=".env")


@check(
    "limen.W207",
    ".env can be read by others on this machine",
    reason="Every other account and service of the machine can take the secret.",
    cure="`chmod 600 .env`",
)
def env_file_readable(seen: Evidence) -> Iterator[Trouble]:
    mode = seen.env_file.mode
    if mode is not None and mode & 0o077:
        yield Trouble(f"its mode is {mode:o}", where=".env")


@check(
    "limen.E208",
    "A setting cannot be read",
    reason="limen does not start with it, rather than guess what was meant.",
    cure="docs/settings.md has every name with its form.",
)
def setting_of_wrong_form(seen: Evidence) -> Iterator[Trouble]:
    if seen.settings_failure:
        yield Trouble(seen.settings_failure, where=seen.settings_failure.partition(":")[0])


@check(
    "limen.W209",
    "A setting is read by nothing",
    reason="Somebody set it and believes that it does something.",
    cure="Correct its name, or take it out; docs/settings.md has every name.",
)
def setting_unknown(seen: Evidence) -> Iterator[Trouble]:
    for name, near in seen.unknown_settings:
        yield Trouble(f"nothing reads it{f'; did you mean {near}?' if near else ''}", where=name)


@check(
    "limen.W210",
    "Access tokens live long",
    reason="A stolen one is good until then wherever the revocation log is not heard: at other services above all.",
    cure="15 to 30 minutes, LIMEN_ACCESS_TOKEN_EXPIRE_MINUTES=15: the refresh token keeps people signed in.",
)
def access_tokens_live_long(seen: Evidence) -> Iterator[Trouble]:
    minutes = seen.settings.access_token_expire_minutes if seen.settings else 0
    if minutes > ACCESS_MINUTES[1]:
        yield Trouble(f"{minutes:g} minutes", where="LIMEN_ACCESS_TOKEN_EXPIRE_MINUTES")


@check(
    "limen.I211",
    "Access tokens live briefly",
    reason="Clients refresh more often than they need to: what is revoked is refused within a second anyway.",
    cure="15 to 30 minutes are usual.",
)
def access_tokens_live_briefly(seen: Evidence) -> Iterator[Trouble]:
    if seen.settings is not None and seen.settings.access_token_expire_minutes < ACCESS_MINUTES[0]:
        minutes = seen.settings.access_token_expire_minutes
        yield Trouble(f"{minutes:g} minutes", where="LIMEN_ACCESS_TOKEN_EXPIRE_MINUTES")


@check(
    "limen.W212",
    "Refresh tokens live long",
    reason="A device that was lost and never reported stays signed in for as long as it is used so rarely.",
    cure="7 to 30 days, LIMEN_REFRESH_TOKEN_EXPIRE_DAYS=14: they slide with use.",
)
def refresh_tokens_live_long(seen: Evidence) -> Iterator[Trouble]:
    days = seen.settings.refresh_token_expire_days if seen.settings else 0
    if days > REFRESH_DAYS[1]:
        yield Trouble(f"{days:g} days", where="LIMEN_REFRESH_TOKEN_EXPIRE_DAYS")


@check(
    "limen.I213",
    "Refresh tokens live briefly",
    reason="People who come once a week sign in each time.",
    cure="7 to 30 days are usual; for a bank, less is right.",
)
def refresh_tokens_live_briefly(seen: Evidence) -> Iterator[Trouble]:
    if seen.settings is not None and seen.settings.refresh_token_expire_days < REFRESH_DAYS[0]:
        days = seen.settings.refresh_token_expire_days
        yield Trouble(f"{days:g} days", where="LIMEN_REFRESH_TOKEN_EXPIRE_DAYS")


@check(
    "limen.W214",
    "Other services verify with the secret that signs",
    reason="Under HS256 whoever verifies can also sign: every other audience could make tokens for everyone.",
    cure="LIMEN_ALGORITHM=EdDSA (or ES256, RS256): the others then get public keys from /.well-known/jwks.json.",
)
def secret_is_shared(seen: Evidence) -> Iterator[Trouble]:
    if seen.settings is None or seen.app is None or seen.settings.algorithm != "HS256" or not seen.app.audiences:
        return
    names = ", ".join(sorted(seen.app.audiences))
    yield Trouble(f"HS256, and tokens are made for {names}", where="LIMEN_ALGORITHM")


@check(
    "limen.I215",
    "An earlier secret still verifies",
    reason="That is what a change of secret needs for a while, and only for a while.",
    cure="Empty LIMEN_SECRET_KEY_FALLBACKS when the last refresh token of before has ended.",
)
def fallback_secret(seen: Evidence) -> Iterator[Trouble]:
    count = len(seen.settings.secret_key_fallbacks) if seen.settings else 0
    if count:
        yield Trouble(f"{count} of them", where="LIMEN_SECRET_KEY_FALLBACKS")
