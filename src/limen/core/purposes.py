"""What one-time secrets are for: one kind for each purpose, so that none is good at another's route."""

from typing import Final

VERIFY_EMAIL: Final = "verify_email"
CONFIRM_EMAIL: Final = "confirm_email"
STOP_EMAIL_CHANGE: Final = "stop_email_change"
UNDO_EMAIL_CHANGE: Final = "undo_email_change"
RESET_PASSWORD: Final = "reset_password"  # noqa: S105 - a purpose
MAGIC_LINK: Final = "magic_link"
RESTORE_ACCOUNT: Final = "restore_account"

OF_THE_PASSWORD: Final = (RESET_PASSWORD, CONFIRM_EMAIL, MAGIC_LINK)
"""What a new password voids: whoever had the old one, or the mailbox for a while, may have asked for these."""

OF_THE_ADDRESS: Final = (VERIFY_EMAIL, CONFIRM_EMAIL, RESET_PASSWORD, MAGIC_LINK)
"""What a new address voids: they were sent to the old one, or ask for another still."""
