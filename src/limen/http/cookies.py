"""The session cookie's name and flags (RFC 6265bis, ASVS 3.3)."""


def cookie_name(*, secure: bool) -> str:
    """`__Host-limen`, which no other host or path can plant; plain `limen` where the site is plain http."""
    return "__Host-limen" if secure else "limen"
