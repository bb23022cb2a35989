"""What an operator can set: `LIMEN_*` in the environment or in `.env`.

Every name is listed in `docs/settings.md`; the few unprefixed aliases are for apps that come from FastAPI's tutorial.
"""

import difflib
import logging
import os
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from limen.errors import ConfigurationError

_log = logging.getLogger("limen.settings")

HOW_TO_MAKE_ONE = 'python -c "import secrets; print(secrets.token_urlsafe(48))"'

M = TypeVar("M", bound=BaseSettings)

Algorithm = Literal["HS256", "ES256", "EdDSA", "RS256"]


def _comma_list(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaList = BeforeValidator(_comma_list)

PagePath = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]*$", max_length=200)]
"""Where a link in a mail leads to, under the base URL; links get their secret as the fragment."""


def _also(name: str) -> AliasChoices:
    """The prefixed name first, then the tutorial's."""
    return AliasChoices(f"LIMEN_{name}", name)


class AuthSettings(BaseSettings):
    """All settings of the kernel and of the features that come with limen; times are in the unit that the name says.

    Raises:
        ConfigurationError: from `load()`, one sentence that names the setting and the cure.
    """

    model_config = SettingsConfigDict(
        env_prefix="LIMEN_",
        env_file=".env",
        extra="ignore",
        populate_by_name=True,
        frozen=True,
        hide_input_in_errors=True,
    )

    secret_key: SecretStr | None = Field(default=None, validation_alias=_also("SECRET_KEY"))
    secret_key_fallbacks: Annotated[tuple[SecretStr, ...], NoDecode, CommaList] = ()
    algorithm: Algorithm = Field(default="HS256", validation_alias=_also("ALGORITHM"))
    signing_key_file: Path | None = None
    key_announce_seconds: float = Field(
        default=600, ge=0, description="how long a new signing key is public before it signs; jwks.json is cached 300 s"
    )
    key_rotation_days: float = Field(default=90, ge=0, description="how old a signing key gets; 0 for no rotation")
    database_url: str = Field(default="sqlite+aiosqlite:///./limen.db", validation_alias=_also("DATABASE_URL"))
    redis_url: SecretStr | None = None
    base_url: str = "http://localhost:8000"
    audience: str | None = None
    access_token_expire_minutes: float = Field(default=15, gt=0, validation_alias=_also("ACCESS_TOKEN_EXPIRE_MINUTES"))
    refresh_token_expire_days: float = Field(default=14, gt=0)
    session_expire_days: float = Field(
        default=90, gt=0, description="the absolute end of a session, however often it is used"
    )
    refresh_grace_seconds: float = Field(default=10, ge=0, le=300)
    clock_leeway_seconds: int = Field(default=5, ge=0, le=300)
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, CommaList] = ()
    trusted_origins: Annotated[tuple[str, ...], NoDecode, CommaList] = ()
    revocation_poll_seconds: float = Field(default=1, gt=0, le=60)
    revocation_deaf_seconds: float = Field(default=30, gt=0)
    max_sessions: int | None = Field(default=None, ge=1)
    email_verification: Literal["off", "optional", "required"] = "off"

    @field_validator("redis_url")
    @classmethod
    def _empty_is_none(cls, value: SecretStr | None) -> SecretStr | None:
        return value or None  # a variable that is set to nothing

    @model_validator(mode="after")
    def _check_base_url(self) -> "AuthSettings":
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("LIMEN_BASE_URL must be a URL such as https://example.com, without query or fragment")
        return self

    @property
    def issuer(self) -> str:
        """The `iss` of every token: the base URL plus `/auth` (RFC 8414 §2)."""
        return self.base_url.rstrip("/") + "/auth"

    def page_link(self, path: str, secret: str) -> str:
        """A link for a mail: to a page under the base URL, with the secret in the fragment, which no server sees."""
        return f"{self.base_url.rstrip('/')}{path}#token={secret}"

    @property
    def expected_audience(self) -> str:
        """The `aud` of every token; the issuer unless `LIMEN_AUDIENCE` names another."""
        return self.audience or self.issuer

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the app by https, which decides the cookie's name and its Secure flag."""
        return self.base_url.startswith("https://")

    @classmethod
    def load(cls) -> "AuthSettings":
        """Read the environment and `.env`.

        Raises:
            ConfigurationError: a value is of the wrong form.
        """
        return load(cls)

    def secret(self) -> str:
        """The root secret.

        Raises:
            ConfigurationError: none is set.
        """
        if self.secret_key is None or not self.secret_key.get_secret_value():
            raise ConfigurationError(
                "LIMEN_SECRET_KEY is not set: run `limen init`, or put LIMEN_SECRET_KEY=… into .env with a value from "
                + HOW_TO_MAKE_ONE
            )
        return self.secret_key.get_secret_value()


def load(model: type[M]) -> M:
    """The settings of one class, from the environment and `.env`; features load theirs with it.

    Raises:
        ConfigurationError: a value is of the wrong form; the sentence names the setting, never the value.
    """
    try:
        return model()
    except ValidationError as error:
        raise ConfigurationError(_sentence(error, prefix=model.model_config.get("env_prefix") or "")) from None


def _sentence(error: ValidationError, *, prefix: str) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    name = field if field.isupper() or not field else f"{prefix}{field}".upper()
    return f"{name}: {first['msg']}".removeprefix(": Value error, ")


def known_names(of_features: Iterable[type[BaseSettings]]) -> frozenset[str]:
    """The environment names that limen and these features read, `LIMEN_OAUTH_…` aside."""
    names = {"LIMEN_APP", "LIMEN_IMPORT_FROM"}  # read by the command line
    models: tuple[type[BaseSettings], ...] = (AuthSettings, *of_features)
    for model in models:
        prefix = model.model_config.get("env_prefix") or ""
        names.update(f"{prefix}{field}".upper() for field in model.model_fields)
    return frozenset(names)


def unknown_names(known: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Each `LIMEN_*` name of the environment or `.env` that nothing reads, and the nearest one that is read, if any."""
    for name in sorted({*os.environ, *dotenv_values(".env")}):
        if not name.startswith("LIMEN_") or name in known or name.startswith("LIMEN_OAUTH_"):
            continue
        yield name, next(iter(difflib.get_close_matches(name, known, n=1)), "")


def warn_of_unknown_names(known: frozenset[str]) -> None:
    """Log each of them."""
    for name, near in unknown_names(known):
        hint = f"; did you mean {near}?" if near else ""
        _log.warning("%s is set and nothing reads it%s", name, hint)
