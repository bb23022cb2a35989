"""Which new passwords are refused, and what to tell the person who chose them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from limen.core.passwords import MAX_BYTES, is_over_long, normalized
from limen.errors import ConfigurationError, WeakPassword

SHORTEST_WORD = 4
LONGEST_NAME = 320
"""Longer texts are no names: nobody's password is a derivative of a biography."""

_SEPARATORS = re.compile(r"[\W_]+")
_LOOK_ALIKES = str.maketrans("01l3457@$!", "oiieastasi")


@dataclass(frozen=True, slots=True)
class Weakness:
    """One reason why a password is refused.

    Attributes:
        type: stable, for programs.
        msg: one sentence, for people.
    """

    type: Literal["too_short", "too_long", "common", "context", "breached"]
    msg: str


COMMON = Weakness("common", "This is one of the passwords that attackers try first.")
CONTEXT = Weakness("context", "This is too close to your name, your email or the name of this site.")
BREACHED = Weakness("breached", "This password has appeared in a data breach.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordRules:
    """What a new password must be: long enough, and not easy to guess (NIST SP 800-63B-4 §3.1.1.2, ASVS 6.2).

    Nothing is asked of its composition: any character of Unicode counts as one, and spaces are welcome.

    Attributes:
        min_length: in characters, after NFC. NIST asks for 15 where the password is the only factor, 8 otherwise.
        max_bytes: in bytes of UTF-8, at most the 4,096 that `PasswordHasher` reads.

    Raises:
        ConfigurationError: limits that no password, or none that can be hashed, would pass.
    """

    min_length: int = 8
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        if not 1 <= self.min_length <= self.max_bytes <= MAX_BYTES:
            raise ConfigurationError(f"Password limits must satisfy 1 <= min_length <= max_bytes <= {MAX_BYTES}.")

    def weaknesses(self, password: str, *, context: Iterable[str] = ()) -> tuple[Weakness, ...]:
        """Every reason to refuse `password`; none means that it may be set.

        Args:
            context: what an attacker would try for this person: e-mail, username, real name, the name of the site.
                Each stands for its parts too: `anna.smith@example.com` for `anna`, `smith` and `example`. Parts of
                under four letters and digits are passed over.
        """
        if is_over_long(password, max_bytes=self.max_bytes):
            return (Weakness("too_long", f"Use at most {self.max_bytes} bytes."),)
        text = normalized(password)
        checks = (
            (len(text) < self.min_length, Weakness("too_short", f"Use at least {self.min_length} characters.")),
            (_is_common(text), COMMON),
            (_leans_on(text, context, enough=self.min_length), CONTEXT),
        )
        return tuple(weakness for refused, weakness in checks if refused)

    def check(self, password: str, *, context: Iterable[str] = (), field: str = "password") -> None:
        """Refuses a weak password as the field `field` of the body.

        Raises:
            WeakPassword: with every reason in `errors`, and never the password.
        """
        refuse(self.weaknesses(password, context=context), field=field)


def refuse(weaknesses: Iterable[Weakness], *, field: str) -> None:
    """Refuse a password for these weaknesses, if there is any, as the field `field` of the body.

    Raises:
        WeakPassword: with every reason in `errors`.
    """
    found = tuple(weaknesses)
    if found:
        raise WeakPassword(
            f"refused: {', '.join(weakness.type for weakness in found)}",
            errors=[{"loc": ["body", field], "msg": each.msg, "type": each.type} for each in found],
        )


def _is_common(text: str) -> bool:
    word = text.casefold()
    return "\n" not in word and f"\n{word}\n".encode("utf-8", "surrogatepass") in _common_passwords()


@cache
def _common_passwords() -> bytes:
    """The list as it lies on disk: a search takes about 0.1 ms, a set of it would take 5 MB."""
    from importlib.resources import files

    return b"\n" + files("limen.core").joinpath("data", "common_passwords.txt").read_bytes()


def _leans_on(text: str, context: Iterable[str], *, enough: int) -> bool:
    """Whether, without the words of its context, too little of the password is left.

    NIST: "context-specific words, such as the name of the service, the username, and derivatives thereof", but "the
    entire password SHALL be subject to comparison, not substrings": a long phrase may mention the site. A letter that
    is written as its look-alike (`@nn4 5m1th`) is that letter.
    """
    words = _words(context)
    plain = {word.translate(_LOOK_ALIKES) for word in words}
    most = len(text) - enough
    unmasked = _letters(text.casefold().translate(_LOOK_ALIKES))
    return _is_covered(_letters(text), words, most=most) or _is_covered(unmasked, plain, most=most)


def _is_covered(whole: str, words: Iterable[str], *, most: int) -> bool:
    """Whether the words make up more of it than they may."""
    rest = whole
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, "")
    removed = len(whole) - len(rest)
    return removed > max(0, most)


def _words(context: Iterable[str]) -> set[str]:
    names = [name for name in context if len(name) <= LONGEST_NAME]
    named = [part for name in names for part in (name, name.rpartition("@")[0], *_SEPARATORS.split(name))]
    return {word for word in map(_letters, named) if len(word) >= SHORTEST_WORD}


def _letters(text: str) -> str:
    """Letters and digits only, so that `anna.smith@…` is found in `AnnaSmith1`."""
    return "".join(character for character in normalized(text).casefold() if character.isalnum())
