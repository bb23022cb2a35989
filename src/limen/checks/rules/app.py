"""1xx: the app as it is written, and the packages it stands on."""

from collections.abc import Iterator

from limen.checks.check import Trouble, check
from limen.checks.evidence import Evidence
from limen.checks.packages import DEAD, HOLES, is_older


@check(
    "limen.E101",
    "The app cannot be loaded",
    reason="What cannot be imported cannot be served, and only its files were looked at.",
    cure="Mend what the sentence names, and run `limen check` again: it then sees the routes and the database too.",
)
def app_does_not_load(seen: Evidence) -> Iterator[Trouble]:
    if seen.load_failure:
        yield Trouble(seen.load_failure, where=seen.name)


@check(
    "limen.E102",
    "Nothing of limen guards this app",
    reason="Without an Auth there is nobody who verifies credentials, and no route map to look at.",
    cure="Run `limen init` in this folder: it finds the app and shows the three lines to add.",
)
def nothing_guards(seen: Evidence) -> Iterator[Trouble]:
    if not seen.sources.speaks_of_limen:
        yield Trouble("none of its files imports limen", where=seen.name)


@check(
    "limen.E103",
    "A package is older than its safe version",
    reason="Earlier versions have published holes, or lack what limen relies on.",
    cure="Upgrade it: `pip install --upgrade NAME`.",
)
def package_is_too_old(seen: Evidence) -> Iterator[Trouble]:
    for name, lowest in sorted({**HOLES, **seen.needed}.items()):
        present = seen.packages.get(name)
        if present is not None and is_older(present, lowest):
            yield Trouble(f"{name} {present} is installed; {lowest} is the first safe one", where=name)


@check(
    "limen.E104",
    "The app uses a library that is dead",
    reason="Nobody mends its holes any more; python-jose accepts tokens that were forged with a public key.",
    cure="Let limen verify and hash instead: the page on moving over says what becomes of each call.",
)
def dead_library_is_used(seen: Evidence) -> Iterator[Trouble]:
    for mark in seen.sources.of("import"):
        if mark.name in DEAD:
            package, why = DEAD[mark.name]
            yield Trouble(f"{package} is imported: {why}", where=mark.path, line=mark.line)


@check(
    "limen.W105",
    "A dead library is installed",
    reason="What is installed gets imported sooner or later, by the next example that somebody copies.",
    cure="Uninstall it, or find out with `pip show NAME` what still requires it.",
)
def dead_library_is_there(seen: Evidence) -> Iterator[Trouble]:
    used = {mark.name for mark in seen.sources.of("import")}
    for module, (package, why) in DEAD.items():
        if package in seen.packages and module not in used:
            yield Trouble(f"{package} {seen.packages[package]} is installed: {why}", where=package)


@check(
    "limen.W106",
    "Bearer tokens are read by hand",
    reason="`OAuth2PasswordBearer` only cuts a string out of a header. Whoever verifies it by hand has to think of the "
    "algorithm, the audience, revocation, a second credential and an empty one.",
    cure="Replace it and the function behind it by `auth.current_user` or `auth.require(…)`.",
)
def bearer_by_hand(seen: Evidence) -> Iterator[Trouble]:
    for mark in seen.sources.of("password bearer"):
        yield Trouble(f"{mark.name}(…) is made here", where=mark.path, line=mark.line)


@check(
    "limen.E107",
    "A secret stands in the source",
    reason="Whoever sees the code, a backup or the repository's history signs tokens as anybody.",
    cure="Move it to `.env` as LIMEN_SECRET_KEY, and make a new one: this one is known.",
)
def secret_in_source(seen: Evidence) -> Iterator[Trouble]:
    for mark in (*seen.sources.of("tutorial secret"), *seen.sources.of("secret")):
        known = ", the secret of FastAPI's tutorial, which everyone knows" if mark.kind == "tutorial secret" else ""
        yield Trouble(f"{mark.name} is written down here{known}", where=mark.path, line=mark.line)


@check(
    "limen.E108",
    "Tokens are decoded without being verified",
    reason="What is read from such a token is what a stranger wrote into it.",
    cure="Ask limen for the principal; for a token in hand, `auth.kernel.authenticator.prove(…)`.",
)
def token_not_verified(seen: Evidence) -> Iterator[Trouble]:
    for mark in seen.sources.of("unverified"):
        yield Trouble(mark.name, where=mark.path, line=mark.line)


@check(
    "limen.W109",
    "Debug mode where people reach the app",
    reason="An error then answers with the source and the variables of the frame, secrets among them.",
    cure="Leave `debug=True` out where LIMEN_BASE_URL is not this machine.",
)
def debug_in_public(seen: Evidence) -> Iterator[Trouble]:
    if seen.app is not None and seen.app.debug and seen.is_public:
        yield Trouble("FastAPI(debug=True)", where=seen.name)
