"""Values for every letter that limen sends: what `limen mail preview` shows, and what each template may ask for."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

_MOMENT = datetime(2026, 11, 26, 14, 5, tzinfo=UTC)
_CODE = "042137"
_KEY = {"key_name": "deployment", "key_id": "4f7c1b2a9d0e", "at": _MOMENT}


def samples(base_url: str) -> Mapping[str, Mapping[str, object]]:
    """The values by letter, with links to this base URL."""
    link = f"{base_url.rstrip('/')}/welcome#token=c2FtcGxlLW9mLWEtdG9rZW4"
    return MappingProxyType(
        {
            "account_deleted": {"at": _MOMENT},
            "account_exists": {"link": f"{base_url.rstrip('/')}/"},
            "confirm_new_email": {"link": link, "valid_for": timedelta(hours=24)},
            "deletion_scheduled": {"link": link, "due_at": _MOMENT},
            "email_change_notice": {"undo_link": link, "new_email": "ada@example.org"},
            "email_changed": {"undo_link": link, "new_email": "ada@example.org", "valid_for": timedelta(hours=72)},
            "identity_linked": {"provider": "github", "at": _MOMENT},
            "identity_unlinked": {"provider": "github", "at": _MOMENT},
            "key_created": _KEY,
            "key_leaked": _KEY,
            "magic_link": {"link": link, "code": _CODE, "valid_for": timedelta(minutes=10)},
            "new_device": {"device": "Firefox on Linux", "address": "203.0.113.7", "at": _MOMENT},
            "password_changed": {"at": _MOMENT},
            "reset_password": {"link": link, "valid_for": timedelta(hours=1)},
            "session_stolen": {"at": _MOMENT},
            "sessions_ended": {"at": _MOMENT},
            "test": {},
            "verify_email": {"link": link, "code": _CODE, "valid_for": timedelta(hours=24)},
        }
    )
