"""What can be said of the root secret without saying it."""

import math
import os
import re
from collections import Counter
from pathlib import Path

from dotenv import dotenv_values

from limen.attack.forge import TUTORIAL_SECRET
from limen.checks.evidence import Secret
from limen.checks.repository import where_committed
from limen.core.keys import SigningKey
from limen.errors import ConfigurationError

NAMES = ("LIMEN_SECRET_KEY", "SECRET_KEY")
_PLACEHOLDER = re.compile(r"secret|passw|change|example|insecure|default|your[-_ ]|replace", re.IGNORECASE)


def setting(*names: str) -> tuple[str, str]:
    """The first of these names that is set, and its value: the environment first, then `.env`."""
    file = {name.upper(): value for name, value in dotenv_values(".env").items()}
    for source in (os.environ, file):
        for name in names:
            if value := source.get(name):
                return name, value
    return "", ""


def look_at_secret(folder: Path) -> Secret:
    """The facts about the secret that is set."""
    name, value = setting(*NAMES)
    if not name:
        return Secret()
    return Secret(
        name=name,
        size=len(value.encode()),
        bits=bits_of(value),
        is_public=value == TUTORIAL_SECRET,
        is_placeholder=_PLACEHOLDER.search(value) is not None,
        refusal=_refusal(value),
        committed_in=where_committed(value, folder),
    )


def bits_of(text: str) -> float:
    """What a text of this spelling holds at most: its characters' Shannon entropy, a repetition counted once."""
    period = (text + text).find(text, 1)
    unit = text[: max(period, 1)] if period < len(text) else text
    counts = Counter(unit)
    each = -sum(n / len(unit) * math.log2(n / len(unit)) for n in counts.values())
    return len(unit) * each


def _refusal(value: str) -> str:
    try:
        SigningKey.from_secret(value)
    except ConfigurationError as error:
        return str(error).partition(",")[0].partition(";")[0].replace("LIMEN_SECRET_KEY", "it")
    return ""
