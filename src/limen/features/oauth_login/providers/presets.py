"""The providers that need no issuer: what each one's own documentation says, as data.

`Google(client_id=…, client_secret=…)` makes a `Provider`; without arguments it takes `LIMEN_OAUTH_GOOGLE_CLIENT_ID` and
the rest from the environment or `.env`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from limen.core.jwk import load_private_pem
from limen.core.keys import SigningKey
from limen.errors import ConfigurationError
from limen.features.oauth_login.providers import profiles
from limen.features.oauth_login.providers.environment import given, names_that_are_set, variable
from limen.features.oauth_login.providers.provider import TENANT, ClientKey, Endpoints, Provider, never_verified

MICROSOFT = "https://login.microsoftonline.com"


@dataclass(frozen=True, slots=True)
class Preset:
    """A provider, without what it calls this app.

    Attributes:
        shape: the provider as everybody knows it; its client id is a placeholder.
        has_issuers: whether an app may name another issuer of its kind (a tenant, a server of one's own).
    """

    shape: Provider
    has_issuers: bool = False

    def __call__(
        self,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        issuer: str | None = None,
        name: str | None = None,
        scopes: Sequence[str] = (),
        audiences: Sequence[str] = (),
        parameters: Mapping[str, str] = MappingProxyType({}),
        team_id: str | None = None,
        key_id: str | None = None,
        private_key: str | None = None,
    ) -> Provider:
        """The provider; what is not given comes from `LIMEN_OAUTH_<NAME>_…`.

        Args:
            issuer: a tenant or a server of one's own (Microsoft, GitLab).
            name: another word for the routes, for two clients of one provider.
            scopes: asked for beside the preset's.
            audiences: further client ids whose `id_token` a phone or One Tap may bring.
            parameters: what else its authorization endpoint is told.
            team_id, key_id, private_key: instead of a secret (Apple); the key as PEM.

        Raises:
            ConfigurationError: no client id, or a value that cannot be one.
        """
        name = name or self.shape.name
        found = given(name)
        issuer = issuer or found.issuer or self.shape.issuer
        if issuer != self.shape.issuer and not self.has_issuers:
            raise ConfigurationError(f"The provider {name} has one issuer, {self.shape.issuer}: set no other")
        return replace(
            self.shape,
            name=name,
            issuer=issuer,
            client_id=check_client_id(client_id or found.client_id, name),
            client_secret=client_secret or found.client_secret,
            client_key=_client_key(
                team_id=team_id or found.team_id,
                key_id=key_id or found.key_id,
                private_key=private_key or found.private_key,
            ),
            scopes=tuple(dict.fromkeys((*self.shape.scopes, *scopes, *found.scopes))),
            audiences=(*audiences, *found.audiences),
            parameters={**self.shape.parameters, **parameters},
        )


def OpenIDProvider(  # noqa: N802 - reads as the presets do
    name: str,
    *,
    issuer: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
    scopes: Sequence[str] = (),
    audiences: Sequence[str] = (),
    origins: Sequence[str] = (),
    parameters: Mapping[str, str] = MappingProxyType({}),
) -> Provider:
    """Any provider that speaks OpenID Connect, by its issuer: `OpenIDProvider("corp", issuer="https://id.corp.example")`.

    What is not given comes from `LIMEN_OAUTH_<NAME>_…`.

    Args:
        scopes: asked for beside `openid email profile`.
        audiences: further client ids whose `id_token` a phone may bring.
        origins: other origins that its metadata may send us to.
        parameters: what else its authorization endpoint is told.

    Raises:
        ConfigurationError: no issuer or client id, or a value that cannot be one.
    """
    found = given(name)
    issuer = issuer or found.issuer
    if issuer is None:
        raise ConfigurationError(f"The provider {name} has no issuer: set {variable(name, 'ISSUER')}")
    return Provider(
        name=name,
        issuer=issuer,
        client_id=check_client_id(client_id or found.client_id, name),
        client_secret=client_secret or found.client_secret,
        scopes=tuple(dict.fromkeys(("openid", "email", "profile", *scopes, *found.scopes))),
        audiences=(*audiences, *found.audiences),
        origins=(*origins, *found.origins),
        parameters=parameters,
    )


def check_client_id(client_id: str | None, name: str) -> str:
    """What the provider calls this app.

    Raises:
        ConfigurationError: nothing.
    """
    if not client_id:
        raise ConfigurationError(f"The provider {name} has no client id: set {variable(name, 'CLIENT_ID')}")
    return client_id


def _client_key(*, team_id: str | None, key_id: str | None, private_key: str | None) -> ClientKey | None:
    if team_id is None or key_id is None or private_key is None:
        return None
    pem = load_private_pem(private_key.replace("\\n", "\n").encode(), algorithm="ES256")  # .env files keep to a line
    return ClientKey(team_id=team_id, key=SigningKey(key_id, "ES256", pem))


def _shape(name: str, issuer: str) -> Provider:
    return Provider(name=name, issuer=issuer, client_id="of the app")


Google = Preset(
    replace(
        _shape("google", "https://accounts.google.com"),
        origins=("https://oauth2.googleapis.com", "https://www.googleapis.com", "https://openidconnect.googleapis.com"),
        aliases=("accounts.google.com",),
        email_verified=profiles.google_verified,
    )
)
"""https://developers.google.com/identity/openid-connect/openid-connect"""

Microsoft = Preset(
    replace(
        _shape("microsoft", f"{MICROSOFT}/common/v2.0"),
        origins=("https://graph.microsoft.com",),
        tenant_issuer=f"{MICROSOFT}/{TENANT}/v2.0",
        email_verified=never_verified,
    ),
    has_issuers=True,
)
"""https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc and …/claims-validation"""

Apple = Preset(
    replace(
        _shape("apple", "https://appleid.apple.com"),
        scopes=("openid", "email", "name"),
        parameters={"response_mode": "form_post"},
        client_auth="post",
    )
)
"""https://developer.apple.com/documentation/signinwithapplerestapi"""

GitHub = Preset(
    replace(
        _shape("github", profiles.GITHUB),
        scopes=("read:user", "user:email"),
        aliases=("https://github.com/login/oauth",),
        endpoints=Endpoints(
            issuer=profiles.GITHUB,
            authorization="https://github.com/login/oauth/authorize",
            token="https://github.com/login/oauth/access_token",  # noqa: S106 - a URL
        ),
        profile=profiles.github_person,
        client_auth="post",
    )
)
"""https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps"""

GitLab = Preset(_shape("gitlab", "https://gitlab.com"), has_issuers=True)
"""https://docs.gitlab.com/integration/openid_connect_provider"""

Discord = Preset(
    replace(
        _shape("discord", profiles.DISCORD),
        scopes=("identify", "email"),
        endpoints=Endpoints(
            issuer=profiles.DISCORD,
            authorization="https://discord.com/oauth2/authorize",
            token="https://discord.com/api/oauth2/token",  # noqa: S106 - a URL
        ),
        profile=profiles.discord_person,
        client_auth="basic",
    )
)
"""https://discord.com/developers/docs/topics/oauth2"""

Facebook = Preset(
    replace(
        _shape("facebook", profiles.FACEBOOK),
        aliases=("https://limited.facebook.com",),
        scopes=("public_profile", "email"),
        endpoints=Endpoints(
            issuer=profiles.FACEBOOK,
            authorization="https://www.facebook.com/v23.0/dialog/oauth",
            token="https://graph.facebook.com/v23.0/oauth/access_token",  # noqa: S106 - a URL
            keys="https://limited.facebook.com/.well-known/oauth/openid/jwks/",
        ),
        profile=profiles.facebook_person,
        email_verified=never_verified,
        client_auth="post",
    )
)
"""https://developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow and …/limited-login/token"""

LinkedIn = Preset(
    replace(
        _shape("linkedin", "https://www.linkedin.com/oauth"),
        origins=("https://api.linkedin.com",),
        aliases=("https://www.linkedin.com",),
        client_auth="post",
        echoes_nonce=False,
        takes_pkce=False,
    )
)
"""https://learn.microsoft.com/linkedin/consumer/integrations/self-serve/sign-in-with-linkedin-v2"""

Slack = Preset(replace(_shape("slack", "https://slack.com"), client_auth="post"))
"""https://docs.slack.dev/authentication/sign-in-with-slack"""

X = Preset(
    replace(
        _shape("x", profiles.X),
        scopes=("users.read", "tweet.read", "users.email"),
        endpoints=Endpoints(
            issuer=profiles.X,
            authorization="https://x.com/i/oauth2/authorize",
            token="https://api.x.com/2/oauth2/token",  # noqa: S106 - a URL
        ),
        profile=profiles.x_person,
        client_auth="basic",
    )
)
"""https://docs.x.com/fundamentals/authentication/oauth-2-0/user-access-token"""

PRESETS: Mapping[str, Preset] = {
    preset.shape.name: preset
    for preset in (Google, Microsoft, Apple, GitHub, GitLab, Discord, Facebook, LinkedIn, Slack, X)
}


def providers_that_are_set() -> tuple[Provider, ...]:
    """Every provider with `LIMEN_OAUTH_<NAME>_CLIENT_ID` in the environment or `.env`, by name.

    Raises:
        ConfigurationError: one without a preset has no issuer, or a value cannot be one.
    """
    return tuple(PRESETS[name]() if name in PRESETS else OpenIDProvider(name) for name in names_that_are_set())
