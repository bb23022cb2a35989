#!/usr/bin/env python3
"""Writes docs/{settings,errors,checks}.md from the code: `python docs/generate.py`, in limen's environment.

A setting is described by its `Field(description=…)`, or by `SENTENCES` here; an error by its docstring.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import limen
import limen.features
from limen.checks.check import Check, all_checks
from limen.errors import AuthError
from limen.feature import Feature
from limen.settings import AuthSettings

DOCS = Path(__file__).resolve().parent
SOURCE = Path(inspect.getfile(limen)).parent
WRITTEN_BY = "<!-- Written by docs/generate.py from the code: change the code, then run it. -->"

SENTENCES: Mapping[str, str] = {
    "secret_key": "Required: 32 bytes or more; signs HS256 tokens, and all other keys are derived from it",
    "secret_key_fallbacks": "Earlier secrets, comma separated: they verify and sign nothing",
    "algorithm": "What signs access tokens: `HS256`, `ES256`, `EdDSA` or `RS256`",
    "signing_key_file": "PEM file with the private key, instead of the key ring in the database",
    "database_url": "`sqlite://…` or `postgresql://…`",
    "redis_url": "`redis://…`, Redis or Valkey: carries revocations to other workers faster",
    "base_url": "Where browsers reach the app: decides the issuer, links, the cookie's name and the allowed origin",
    "audience": "`aud` of the tokens; without it, the issuer: base URL + `/auth`",
    "access_token_expire_minutes": "How long an access token is good",
    "refresh_token_expire_days": "How long a session lasts unused",
    "refresh_grace_seconds": "How long a refresh token that was used still gets the same successor",
    "clock_leeway_seconds": "By how much two clocks may differ",
    "trusted_proxies": "Networks whose `X-Forwarded-For` is believed, comma separated: `10.0.0.0/8`",
    "trusted_origins": "Other origins whose pages may use the cookie, comma separated",
    "revocation_poll_seconds": "How often a worker looks at the revocation log, if nothing wakes it sooner",
    "revocation_deaf_seconds": "Without word from the log for so long, a worker answers 503",
    "audiences": "Other APIs that service accounts may ask tokens for, comma separated",
    "email_verification": "`off`, `optional` (a mail at registration) or `required` (no sign-in before it is answered)",
    "max_sessions": "How many sessions a user may have; one more ends the one that was seen longest ago",
}
NOT_READ = "*Nothing reads it yet.*"


def settings_page() -> str:
    """docs/settings.md."""
    groups = "\n\n".join([_group("The kernel", AuthSettings), *(_group(*each) for each in _of_features())])
    return f"""\
{WRITTEN_BY}
# Settings

Read once, by `Auth()`, from the environment and from `.env` in the working directory; the environment goes first.
A name without `LIMEN_` in the same row is an alias. An unknown `LIMEN_*` name is a warning that names the nearest
known one; a value of the wrong form stops the start with one sentence.

```sh
echo "LIMEN_SECRET_KEY=$(python3 -c 'import secrets; print(secrets.token_urlsafe(48))')" >> .env
```

In code, instead of the environment:

```python
from limen import Auth, AuthSettings

auth = Auth(settings=AuthSettings(access_token_expire_minutes=5, base_url="https://example.com"))
```

{groups}
"""


def errors_page() -> str:
    """docs/errors.md."""
    rows = "\n".join(
        _error_row(kind) for kind in sorted(_errors(), key=lambda kind: (kind.status, kind.code, kind.__name__))
    )
    return f"""\
{WRITTEN_BY}
# Errors

A refused request is answered with a problem document (RFC 9457, `application/problem+json`). `code` is stable: let
clients decide by it. `detail` is a sentence for people.

<!-- against the demo -->
```sh
curl -s http://localhost:8000/users/me | python3 -m json.tool
```

```json
{{
    "type": "about:blank",
    "title": "Unauthorized",
    "status": 401,
    "detail": "Sign in to use this.",
    "code": "not_authenticated"
}}
```

Every class is in `limen.errors` and an `AuthError`. What happened in detail (`reason`) is only ever logged.

| status | `code` | `detail` | class | when |
|---|---|---|---|---|
{rows}

Beside these members: `retry_after` (seconds) with 429 and 503, also as the header `Retry-After`; `scope` with
`insufficient_scope`; `max_age` (seconds) with `insufficient_user_authentication`; `errors` (`loc`, `msg`, `type`, never
the value that was sent) with 422. A 401 always carries `WWW-Authenticate`.

## At the OAuth endpoints

`/auth/token`, `/auth/revoke` and `/auth/introspect` answer in the words of RFC 6749 §5.2,
`{{"error": "invalid_grant", "error_description": "…"}}`. There `invalid_grant` and `invalid_request` are 400, and 429
and 503 say `temporarily_unavailable`.

## Your own

Raise any of them, or a subclass, in an endpoint or a dependency; the answer is a problem document too.

```python
from fastapi import FastAPI

from limen import Auth
from limen.errors import Conflict

app, auth = FastAPI(), Auth()
auth.install(app)


class OutOfStock(Conflict):
    \"\"\"Nothing is left of it.\"\"\"

    code = "out_of_stock"
    detail = "Nothing is left of this."


@app.post("/orders")
async def order() -> None:
    raise OutOfStock("stock is 0", item=7)  # the reason goes to the log, not to the client
```

<!-- then
with visiting(app, auth) as client:
    answer = client.post("/orders")
    assert answer.status_code == 409
    assert answer.json()["code"] == "out_of_stock"
    assert "stock is 0" not in answer.text
-->

`limen.http.responses.answer_all_as_problems(app)` gives FastAPI's own refusals (404, 422, …) the same form.
"""


def checks_page() -> str:
    """docs/checks.md."""
    sections = "\n\n".join(map(_check_section, all_checks()))
    of_features = "\n\n".join(sorted(_said_by_features()))
    return f"""\
{WRITTEN_BY}
# Findings

What [`limen check`](check.md) looks for. The letter is the severity: `E` an error, `W` a warning, `I` a note.
The number says what it is about: 1xx the app and its packages, 2xx the secret and the settings, 3xx password hashing,
4xx tokens, 5xx routes, 6xx the database, 7xx what is beside the app, 8xx Supabase.

Numbers below 100 are the features': they say them at every start too, where an error stops it and a warning is logged.

{of_features}

{sections}
"""


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "checks.md": checks_page,
}


def _check_section(check: Check) -> str:
    return f"""\
## {check.id}

**{check.title}** ({check.severity})

{check.reason}

*Cure:* {check.cure}"""


def _said_by_features() -> set[str]:
    """A section for each number that a feature's source names."""
    named = re.compile(r'Finding\(\s*id="(limen\.[EWI]\d{3})"')
    found: set[str] = set()
    for path in (SOURCE / "features").glob("*/*.py"):
        name = path.parent.name
        page = DOCS / "features" / f"{name}.md"
        shown = f"[{name}](features/{name}.md)" if page.exists() else name
        found.update(
            f"## {id}\n\nOf the feature {shown}; the finding says all there is to say."
            for id in named.findall(path.read_text("utf-8"))
        )
    return found


def _group(title: str, model: type[BaseSettings]) -> str:
    prefix = (model.model_config.get("env_prefix") or "").upper()
    rows = "\n".join(_setting_row(prefix, name, field) for name, field in model.model_fields.items())
    return f"## {title}\n\n| name | default | what it does |\n|---|---|---|\n{rows}"


def _setting_row(prefix: str, name: str, field: FieldInfo) -> str:
    aliases = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else ()
    names = [f"{prefix}{name.upper()}", *(str(alias) for alias in aliases if not str(alias).startswith(prefix))]
    sentence = field.description or SENTENCES.get(name, "")
    sentence = sentence[:1].upper() + sentence[1:]
    if prefix == "LIMEN_" and not _is_read(name):
        sentence = f"{sentence}. {NOT_READ}"
    return f"| {', '.join(f'`{each}`' for each in names)} | {_shown(field.default)} | {sentence} |"


def _shown(default: object) -> str:
    if default is None or default == ():
        return "none"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _is_read(name: str) -> bool:
    """Whether anything in limen asks the settings for it."""
    asks = re.compile(rf"\b(settings|given|self)\.{name}\b")
    return any(asks.search(path.read_text("utf-8")) for path in SOURCE.rglob("*.py"))


def _of_features() -> Iterator[tuple[str, type[BaseSettings]]]:
    for feature in _features():
        if feature.settings is not None:
            yield f"The feature `{feature.name}`", feature.settings


def _features() -> Iterator[type[Feature]]:
    for found in pkgutil.iter_modules(limen.features.__path__, "limen.features."):
        module = importlib.import_module(found.name)
        for kind in vars(module).values():
            if inspect.isclass(kind) and issubclass(kind, Feature) and kind is not Feature:
                yield kind


def _errors() -> set[type[AuthError]]:
    list(_features())  # a feature may name failures of its own
    found: set[type[AuthError]] = {AuthError}
    waiting = [AuthError]
    while waiting:
        own = [kind for kind in waiting.pop().__subclasses__() if kind.__module__.startswith("limen.")]
        found.update(own)
        waiting += own
    return found - {AuthError}  # InvalidRequest is its face


def _error_row(kind: type[AuthError]) -> str:
    when = (inspect.getdoc(kind) or "").partition("\n")[0]
    return f"| {kind.status} | `{kind.code}` | {kind.detail} | `{kind.__name__}` | {when} |"


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), "utf-8")
        print(f"wrote docs/{name}")
