"""5xx: who comes in where."""

from collections.abc import Iterator

from limen.checks.check import Trouble, check
from limen.checks.evidence import Evidence
from limen.http.origin import SAFE_METHODS

_DECIDE = "Put `Depends(auth.require(…))` before it, or `@auth.public` where everyone may come in."


@check(
    "limen.E501",
    "A route that can change something is open",
    reason="It is neither guarded nor marked public: a guard was forgotten, or nobody said that none is wanted.",
    cure=_DECIDE,
)
def unsafe_route_open(seen: Evidence) -> Iterator[Trouble]:
    for route in seen.app.unguarded if seen.app else ():
        if not SAFE_METHODS.issuperset(route.methods):
            yield Trouble("neither guarded nor public", where=str(route))


@check(
    "limen.W502",
    "A route that shows something is open",
    reason="It is neither guarded nor marked public: a guard was forgotten, or nobody said that none is wanted.",
    cure=_DECIDE,
)
def safe_route_open(seen: Evidence) -> Iterator[Trouble]:
    for route in seen.app.unguarded if seen.app else ():
        if SAFE_METHODS.issuperset(route.methods):
            yield Trouble("neither guarded nor public", where=str(route))


@check(
    "limen.E503",
    "A cookie is believed whoever's page sent it",
    reason="Browsers send cookies by themselves, so a foreign page can make people do this (CSRF, ASVS 3.5.1).",
    cure="Use limen's cookie sessions (`Sessions()`), whose guards look at where a request was made.",
)
def cookie_without_origin(seen: Evidence) -> Iterator[Trouble]:
    for each in seen.app.cookie_routes if seen.app else ():
        yield Trouble(f"reads {', '.join(each.cookies)} and does not ask where it comes from", where=each.route)


@check(
    "limen.E504",
    "Every origin may read with credentials",
    reason="Any page that a signed-in person opens can read and change what is theirs.",
    cure="Name the origins in `CORSMiddleware(allow_origins=[…])`, or leave `allow_credentials` out.",
)
def cors_for_everyone(seen: Evidence) -> Iterator[Trouble]:
    for each in seen.app.cors if seen.app else ():
        if each.any_origin and each.with_credentials:
            yield Trouble("CORSMiddleware allows any origin, with credentials", where="CORSMiddleware")


@check(
    "limen.W505",
    "The documentation is open to everyone",
    reason="It lists every route and every field, of administration too, for whoever looks for a weak one.",
    cure="FastAPI(openapi_url=None) where LIMEN_BASE_URL is not this machine, or serve it behind a guard.",
)
def docs_in_public(seen: Evidence) -> Iterator[Trouble]:
    if seen.app is not None and seen.app.docs and seen.is_public:
        yield Trouble(", ".join(seen.app.docs), where=seen.app.docs[0])
