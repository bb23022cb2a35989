"""`limen explain`: which rule lets somebody in at a route, or keeps them out."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, run
from limen.cli.printing import JsonOption, print_json
from limen.errors import AuthError, ConfigurationError, NotFound

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.core.decision import Step
    from limen.core.principal import Principal
    from limen.db.users import UserMixin
    from limen.http.explain import Explanation

SAID = {True: "allowed", False: "denied ", None: "  -    "}


def explain(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, …, WEBSOCKET.")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="As requested: /items/7")],
    user: Annotated[
        str | None, typer.Option(metavar="USER", help="E-mail address, username or id; as if signed in just now.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="A credential instead; - reads it from stdin.")
    ] = None,
    scope: Annotated[str | None, typer.Option(metavar="SCOPE", help="With --user: narrowed to this.")] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say, step by step, what somebody would meet at a route; nobody, without --user and --token."""
    if user and token:
        raise typer.BadParameter("give --user or --token, not both")
    shown = sys.stdin.readline().strip() if token == "-" else token  # noqa: S105 - a dash

    async def work(auth: "Auth[UserMixin]") -> dict[str, object]:
        try:
            principal = await _principal(auth, user, shown, scope)
        except AuthError as error:
            return {"principal": None, "route": None, "steps": [], **_outcome(error), "reason": error.reason}
        return _described(principal, await _explain(auth, principal, method.upper(), path))

    found = run(app, work)
    if as_json:
        print_json(found)
    else:
        _print(found)


async def _principal(
    auth: "Auth[UserMixin]", user: str | None, token: str | None, scope: str | None
) -> "Principal | None":
    from limen.features.accounts import Accounts
    from limen.http.scheme import Carrier, Presented

    if token is not None:
        return await auth.kernel.authenticator.prove(Presented(Carrier.BEARER, token))
    if user is None:
        return None
    try:
        return auth[Accounts].principal_of(await auth[Accounts].find(user), scope=scope)
    except NotFound:
        raise ConfigurationError(f"There is no user with the e-mail address, username or id {user!a}") from None


async def _explain(auth: "Auth[UserMixin]", principal: "Principal | None", method: str, path: str) -> "Explanation":
    try:
        return await auth.explainer().explain(principal, method, path)
    except NotFound:
        raise ConfigurationError(f"No route of the app answers {method} {path}: see `limen routes`") from None


def _described(principal: "Principal | None", found: "Explanation") -> dict[str, object]:
    who = principal and {
        "subject": principal.subject,
        "credential": principal.credential,
        "roles": sorted(principal.roles),
        "permissions": sorted(principal.permissions),
    }
    steps = [_step(step) for step in found.steps]
    refusal = found.refusal
    return {
        "principal": who,
        "route": str(found.route),
        "access": found.route.access,
        "steps": steps,
        **_outcome(refusal),
        "reason": refusal.reason if refusal else None,
    }


def _step(step: "Step") -> dict[str, object]:
    return {"depth": step.depth, "rule": step.rule, "allowed": step.allowed}


def _outcome(refusal: AuthError | None) -> dict[str, object]:
    if refusal is None:
        return {"allowed": True, "status": None, "code": None}
    return {"allowed": False, "status": refusal.status, "code": refusal.code}


def _print(found: dict[str, object]) -> None:
    who, steps = found["principal"], found["steps"]
    if found["route"]:
        typer.echo(f"route  {found['route']} ({found['access']})")
    if isinstance(who, dict):
        typer.echo(f"as     {who['subject']} by {who['credential']}")
        typer.echo(f"roles  {' '.join(who['roles']) or '-'}")
        typer.echo(f"holds  {' '.join(who['permissions']) or '-'}")
    elif found["route"]:
        typer.echo("as     nobody")
    for step in steps if isinstance(steps, list) else ():
        typer.echo(f"{SAID[step['allowed']]}  {'  ' * step['depth']}{step['rule']}")
    ending = "the endpoint is reached" if found["allowed"] else f"{found['status']} {found['code']}: {found['reason']}"
    typer.echo(f"=> {ending}")
