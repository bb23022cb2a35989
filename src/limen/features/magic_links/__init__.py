"""Magic links: sign in by a link or a code in a mail."""

from limen.features.magic_links.feature import MagicLinks

__all__ = ["MagicLinks"]
