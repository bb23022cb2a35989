"""What `limen init` can begin with: one strategy, one file to copy from."""

from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files

IN_FEATURES = frozenset({"Supabase"})
"""Features that are not among the names of `limen` itself."""


class Strategy(StrEnum):
    """How people and machines prove who they are."""

    QUICKSTART = "quickstart"
    JWT = "jwt"
    OAUTH2 = "oauth2"
    SESSIONS = "sessions"
    API_KEYS = "api-keys"
    SUPABASE = "supabase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A whole small app, and what an app that exists needs instead of it.

    Attributes:
        file: in `limen/templates`.
        sentence: what one gets.
        features: the argument of `Auth(features=…)`; none for the default ones.
        settings: lines of `.env`.
        to_fill_in: which of these settings nobody but the app's owner knows.
    """

    file: str
    sentence: str
    features: tuple[str, ...] = ()
    settings: str = ""
    to_fill_in: tuple[str, ...] = ()

    @property
    def has_accounts(self) -> bool:
        """Whether people register here; else they come from elsewhere."""
        return not self.features or "Accounts" in self.features

    def text(self) -> str:
        """The app, as it is written to `main.py`."""
        return (files("limen") / "templates" / self.file).read_text("utf-8")

    def lines_for(self, app: str) -> str:
        """What an app of this name adds to itself."""
        names = sorted({"Auth", "Role", *self.features} - IN_FEATURES, key=str.lower)
        elsewhere = "".join(f"from limen.features import {name}\n" for name in self.features if name in IN_FEATURES)
        chosen = f"\n    features=[{', '.join(f'{name}()' for name in self.features)}]," if self.features else ""
        return f"""\
from fastapi import Depends
from limen import {", ".join(names)}
{elsewhere}
auth = Auth(
    roles=[Role("member", ["items:read"], default=True), Role("admin", ["*"])],{chosen}
)
auth.install({app})

# and before each route, or `install({app}, default="deny")` will name those that are open:
@{app}.get("/items", dependencies=[Depends(auth.require("items:read"))])"""


SUPABASE = """\
# The project and its publishable (anon) key, from its settings under API keys:
# LIMEN_SUPABASE_URL=https://<project>.supabase.co
# LIMEN_SUPABASE_KEY=sb_publishable_...
"""
TEMPLATES = {
    Strategy.QUICKSTART: Template(file="quickstart.py", sentence="passwords, tokens, cookies, API keys; three routes"),
    Strategy.JWT: Template(
        file="jwt_auth.py",
        sentence="JWT access tokens with refresh, roles and permissions",
        features=("Passwords", "Tokens", "Sessions", "Accounts", "Roles"),
    ),
    Strategy.OAUTH2: Template(
        file="oauth2_flow.py",
        sentence="OAuth2's password flow with scopes, as FastAPI's documentation has it",
        features=("Passwords", "Tokens", "Accounts", "Roles"),
    ),
    Strategy.SESSIONS: Template(
        file="sessions_spa.py",
        sentence="cookie sessions with an HTML page",
        features=("Passwords", "Sessions", "Accounts", "Roles"),
    ),
    Strategy.API_KEYS: Template(
        file="api_keys.py",
        sentence="API keys for machines, made by people",
        features=("Passwords", "Tokens", "ApiKeys", "Accounts", "Roles"),
    ),
    Strategy.SUPABASE: Template(
        file="supabase_auth.py",
        sentence="people sign in at Supabase; its tokens and sessions count here",
        features=("Supabase", "Roles"),
        settings=SUPABASE,
        to_fill_in=("LIMEN_SUPABASE_URL", "LIMEN_SUPABASE_KEY"),
    ),
}
