"""What letters say: Jinja2 templates, limen's own and those of the app's folder, which go first.

A letter `verify_email` is `verify_email.txt`, with a block `subject`, and `verify_email.html` if it has one. Names
that begin with `_` are layouts.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import SandboxedEnvironment

PACKAGED = Path(__file__).parent / "templates"
UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line and paragraph separators, what turns the reading direction, halves of characters."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


class UnusableLetter(Exception):
    """A letter that cannot be sent as it is: the sentence names the template, never what the letter says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A letter in words."""

    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str | None = field(default=None, repr=False)


class Wording:
    """Puts letters into words.

    Args:
        folder: the app's own templates.
        app_name: what the letters call the app.
        base_url: where browsers reach it.
    """

    def __init__(self, *, folder: Path | None, app_name: str, base_url: str) -> None:
        self._folder = folder
        self._own = {"app_name": app_name, "base_url": base_url.rstrip("/")}

    def say(self, template: str, values: Mapping[str, object]) -> Words:
        """The letter in words; every value that the template asks for must be there.

        In the bodies, control characters of a value become blanks; in a subject they are refused.

        Raises:
            UnusableLetter: no such template, one that does not work, a missing value, a subject that is no line.
        """
        with _explained(template):
            return self._said(template, values)

    def check(self, template: str, values: Mapping[str, object] | None) -> None:
        """Try a letter with these values, or only read its templates where nobody knows which values it gets.

        Raises:
            UnusableLetter: it does not work.
        """
        with _explained(template):
            if values is not None:
                self._said(template, values)
            else:
                self._environment.get_template(f"{template}.txt")
                self._html(template)

    def names(self) -> tuple[str, ...]:
        """Every letter that there is a template for."""
        return tuple(sorted({name for folder in self._folders for name in _letters_in(folder)}))

    def overridden(self) -> tuple[str, ...]:
        """The letters for which the app's folder has something, and all of them if it has a layout."""
        if self._folder is None:
            return ()
        if any(self._folder.glob("_*")):
            return self.names()
        own = {path.stem for path in self._folder.iterdir() if path.suffix in (".txt", ".html")}
        return tuple(sorted(name for name in own if _NAME.fullmatch(name)))

    def load(self) -> None:
        """Import Jinja2 now, so that no request waits for it."""
        _ = self._environment

    def _said(self, template: str, values: Mapping[str, object]) -> Words:
        text = self._environment.get_template(f"{template}.txt")
        subject = self._subject(text, values)
        if UNSPEAKABLE.search(subject) or not subject:
            raise UnusableLetter(f"The subject of the letter {template} is not one line of text")
        spoken = {name: _speakable(value) for name, value in values.items()} | self._own
        html = self._html(template)
        return Words(
            subject=subject,
            text=text.render(spoken).strip() + "\n",
            html=None if html is None else html.render(spoken).strip() + "\n",
        )

    def _subject(self, text: "Template", values: Mapping[str, object]) -> str:
        block = text.blocks.get("subject")
        if block is None:
            raise UnusableLetter(f"The template {text.name} has no {{% block subject %}}")
        return "".join(block(text.new_context({**values, **self._own}))).strip(" ")

    def _html(self, template: str) -> "Template | None":
        return self._environment.get_template(f"{template}.html") if template in self._with_html else None

    @cached_property
    def _with_html(self) -> frozenset[str]:
        return frozenset(path.stem for folder in self._folders for path in folder.glob("*.html"))

    @property
    def _folders(self) -> tuple[Path, ...]:
        return (PACKAGED,) if self._folder is None else (self._folder, PACKAGED)

    @cached_property
    def _environment(self) -> "SandboxedEnvironment":
        from jinja2 import FileSystemLoader, StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(self._folders),
            autoescape=_is_html,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters |= {"moment": moment, "duration": duration}
        return environment


def moment(value: datetime) -> str:
    """`26 November 2026, 14:05 UTC`."""
    return f"{value.day} {value.astimezone(UTC):%B %Y, %H:%M} UTC"


def duration(value: timedelta) -> str:
    """`24 hours`, `3 days`, `90 minutes`: in the largest unit that says it in whole numbers above one, or one day."""
    seconds = round(value.total_seconds())
    for unit, length in _UNITS:
        number, rest = divmod(seconds, length)
        if number > 1 and not rest:
            return f"{number} {unit}s"
    return f"{seconds} seconds"


@contextmanager
def _explained(template: str) -> Iterator[None]:
    """Turn what Jinja2 raises into one sentence without a value in it."""
    from jinja2 import TemplateError, TemplateNotFound

    if _NAME.fullmatch(template) is None:
        raise UnusableLetter(f"{template!a} is not the name of a letter: lower-case letters, digits and _")
    try:
        yield
    except TemplateNotFound as error:
        raise UnusableLetter(f"The letter {template} has no template {error.name}") from None
    except TemplateError as error:
        raise UnusableLetter(f"The template of the letter {template} does not work: {error.message}") from None
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:  # a value of the wrong type
        sentence = f"The template of the letter {template} cannot use a value: {type(error).__name__}"
        raise UnusableLetter(sentence) from None


def _letters_in(folder: Path) -> Iterator[str]:
    return (path.stem for path in folder.glob("*.txt") if _NAME.fullmatch(path.stem))


def _speakable(value: object) -> object:
    return UNSPEAKABLE.sub(" ", value) if isinstance(value, str) else value


def _is_html(name: str | None) -> bool:
    return name is not None and name.endswith(".html")
