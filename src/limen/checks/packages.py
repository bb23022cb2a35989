"""Which versions are installed, which limen needs, and which libraries nobody should build on any more."""

import re
from collections.abc import Mapping
from importlib import metadata

DEAD: Mapping[str, tuple[str, str]] = {
    "jose": ("python-jose", "without care since 2021, and a public key can forge its HS256 tokens (CVE-2024-33663)"),
    "passlib": ("passlib", "without a release since 2020; with bcrypt 5 every hash fails"),
    "fastapi_jwt_auth": ("fastapi-jwt-auth", "without a release since 2020"),
    "python_jwt": ("python-jwt", "without care, and its tokens could be changed (CVE-2022-39227)"),
}
"""By the name that is imported: the package, and why not."""

HOLES: Mapping[str, str] = {
    "authlib": "1.6.5",  # CVE-2025-61920
    "cryptography": "44.0.1",  # CVE-2024-12797
    "h11": "0.16.0",  # CVE-2025-43859
    "jinja2": "3.1.6",  # CVE-2025-27516
    "pyjwt": "2.10.1",  # CVE-2024-53861
    "python-multipart": "0.0.18",  # CVE-2024-53981
    "starlette": "0.49.1",  # CVE-2025-62727
}
"""The first version without a known hole, where limen's own floor does not say more."""

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*>=\s*([0-9.]+)")


def needed_versions() -> Mapping[str, str]:
    """The lowest version of each package that limen takes, those of its extras too."""
    try:
        requirements = metadata.requires("limen") or []
    except metadata.PackageNotFoundError:  # run from a folder of sources
        return {}
    found = (_REQUIREMENT.match(line) for line in requirements)
    return {match[1].lower(): match[2] for match in found if match}


def installed_versions(needed: Mapping[str, str]) -> Mapping[str, str]:
    """What is installed of the packages that a rule speaks of."""
    names = {*needed, *HOLES, *(package for package, _ in DEAD.values())}
    found = {name: _version(name) for name in sorted(names)}
    return {name: version for name, version in found.items() if version}


def is_older(version: str, lowest: str) -> bool:
    """Whether one release number is below another."""
    return _release(version) < _release(lowest)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _release(version: str) -> tuple[int, ...]:
    parts = re.match(r"[0-9.]+", version.partition("!")[2] or version)
    numbers = [int(part) for part in (parts[0] if parts else "").split(".") if part]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
