"""How each provider without an `id_token` says who came, and how far some others vouch for an address."""

from collections.abc import Mapping
from typing import cast

from limen.features.oauth_login.providers.provider import MAX_NAME, Ask, Claims, Person, said_verified
from limen.http.outgoing import DocumentRefused

GITHUB, DISCORD, FACEBOOK, X = "https://github.com", "https://discord.com", "https://www.facebook.com", "https://x.com"


async def github_person(ask: Ask) -> Person:
    """GitHub has no OpenID Connect for people: `GET /user`, and `GET /user/emails` for the primary verified address.

    The `email` of `/user` is what the person shows in public, verified or not, and is not read. The `login` can be
    changed and taken by somebody else: the numeric id is the subject.
    """
    user = _members(await ask("https://api.github.com/user"))
    emails = await ask("https://api.github.com/user/emails")
    listed = [_members(each) for each in emails] if isinstance(emails, list) else []
    primary = next((each for each in listed if each.get("primary") is True), {})
    return Person(
        issuer=GITHUB,
        subject=_id(user),
        email=text_or_none(primary.get("email")),
        email_verified=primary.get("verified") is True,
        name=name_of(user) or text_or_none(user.get("login")),
    )


async def discord_person(ask: Ask) -> Person:
    """Discord: `GET /users/@me`; `verified` says whether the address was."""
    user = _members(await ask("https://discord.com/api/v10/users/@me"))
    return Person(
        issuer=DISCORD,
        subject=_id(user),
        email=text_or_none(user.get("email")),
        email_verified=user.get("verified") is True,
        name=text_or_none(user.get("global_name")) or text_or_none(user.get("username")),
    )


async def facebook_person(ask: Ask) -> Person:
    """Facebook's Graph API says nothing about verification, so its address is never verified."""
    user = _members(await ask("https://graph.facebook.com/v23.0/me?fields=id,name,email"))
    return Person(issuer=FACEBOOK, subject=_id(user), email=text_or_none(user.get("email")), name=name_of(user))


async def x_person(ask: Ask) -> Person:
    """X: `confirmed_email` is there only if the app asked for it and the person confirmed it."""
    answer = _members(await ask("https://api.x.com/2/users/me?user.fields=confirmed_email"))
    user = _members(answer.get("data"))
    email = text_or_none(user.get("confirmed_email"))
    return Person(issuer=X, subject=_id(user), email=email, email_verified=email is not None, name=name_of(user))


def google_verified(claims: Claims) -> bool:
    """Google answers for an address only in `gmail.com` and in Workspace domains (`hd`): the others were verified once,
    when the account was made, and may have changed hands since (Google, *Verify the Google ID token*)."""
    email = claims.get("email")
    is_google = isinstance(email, str) and email.lower().endswith("@gmail.com")
    return said_verified(claims) and (is_google or isinstance(claims.get("hd"), str))


def name_of(claims: Claims) -> str | None:
    """The name for display."""
    return text_or_none(claims.get("name"))


def text_or_none(value: object) -> str | None:
    """A short printable text, or nothing."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() else None


def _members(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise DocumentRefused("not an object")
    return cast("Mapping[str, object]", value)


def _id(user: Mapping[str, object]) -> str:
    """The subject: a number or a text that nobody else ever gets."""
    value = user.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    subject = text_or_none(value)
    if subject is None:
        raise DocumentRefused("no id")
    return subject
