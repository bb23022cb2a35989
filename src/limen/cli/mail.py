"""`limen mail …`: look at letters, try whether they leave, see what waits."""

from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, load_auth, run
from limen.cli.printing import JsonOption, print_json, print_table
from limen.errors import AuthError, ConfigurationError

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.db.users import UserMixin
    from limen.features.mail import Mail

group = typer.Typer(help="Look at letters, try whether they leave, see what waits.", no_args_is_help=True)


@group.command("preview")
def preview(
    template: Annotated[str | None, typer.Argument(metavar="[LETTER]", help="Else their names are listed.")] = None,
    html: Annotated[bool, typer.Option("--html", help="The HTML instead of the text.")] = False,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a letter with made-up values, from the app's own templates where it has them."""
    from limen.features.mail.samples import samples
    from limen.features.mail.wording import UnusableLetter

    mail = _mail(load_auth(app))
    known = samples(mail.kernel.settings.base_url)
    if template is None:
        names = mail.wording.names()
        _print_names(names, as_json=as_json)
        return
    try:
        words = mail.wording.say(template, known.get(template, {}))
    except UnusableLetter as error:
        raise ConfigurationError(str(error)) from None
    if as_json:
        print_json({"letter": template, "subject": words.subject, "text": words.text, "html": words.html})
    elif html:
        typer.echo(words.html or "", nl=False)
    else:
        typer.echo(f"Subject: {words.subject}\n\n{words.text}", nl=False)


@group.command("send-test")
def send_test(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="To whom.")], app: AppOption = None
) -> None:
    """Send a test letter now and say whether it was taken."""
    from limen.features.mail import Letter
    from limen.features.mail.wording import UnusableLetter

    async def work(auth: "Auth[UserMixin]") -> None:
        try:
            await _mail(auth).send_now(Letter(to=address, template="test"))
        except UnusableLetter as error:
            raise ConfigurationError(str(error)) from None
        except (ConfigurationError, AuthError):
            raise
        except Exception as error:  # whatever a mail server or a mailer answers
            said = " ".join(str(error).split())
            raise ConfigurationError(f"The letter was not taken: {type(error).__name__}: {said}") from None

    run(app, work)
    typer.echo(f"The letter to {address} was taken.")


@group.command("outbox")
def outbox(app: AppOption = None, as_json: JsonOption = False) -> None:
    """List the letters that have not left, the oldest first, without addresses and contents."""

    async def work(auth: "Auth[UserMixin]") -> list[dict[str, object]]:
        waiting = await _mail(auth).waiting()
        return [{name: getattr(each, name) for name in each.__slots__} for each in waiting]

    rows = run(app, work)
    if as_json:
        print_json(rows)
        return
    columns = ("id", "template", "posted_at", "attempts", "due_at", "last_error")
    titles = ("ID", "LETTER", "POSTED", "TRIES", "NEXT TRY", "LAST ERROR")
    print_table(titles, [tuple(_cell(row, name) for name in columns) for row in rows])


@group.command("deliver")
def deliver(app: AppOption = None, as_json: JsonOption = False) -> None:
    """Send what is due now; for where no app runs that does it."""

    async def work(auth: "Auth[UserMixin]") -> int:
        return await _mail(auth).deliver()

    left = run(app, work)
    if as_json:
        print_json({"sent": left})
    else:
        typer.echo(f"Sent {left}.")


def _mail(auth: "Auth[UserMixin]") -> "Mail":
    from limen.features.mail import Mail

    try:
        return auth[Mail]
    except LookupError:
        raise ConfigurationError("This app has no mail: add Mail() to Auth(features=[…])") from None


def _print_names(names: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(list(names))
        return
    for name in names:
        typer.echo(name)


def _cell(row: dict[str, object], name: str) -> str:
    if name == "due_at" and row["given_up_at"] is not None:
        return "given up"
    value = row[name]
    return "" if value is None else str(value)[:36]
