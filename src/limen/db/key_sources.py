"""Where the signing keys come from: `LIMEN_SECRET_KEY`, a PEM file, or the key ring in the database."""

from collections.abc import Sequence
from datetime import timedelta
from math import inf

from limen.core.clock import Clock
from limen.core.key_plans import RotationRules
from limen.core.keys import KeyRing, Keys, SigningKey, derive_key
from limen.core.revocations import Revocations
from limen.core.sealing import Sealer
from limen.db.database import Database
from limen.db.key_changes import KeyChanges
from limen.db.key_store import KeyStore
from limen.db.revocation_log import RevocationLog
from limen.db.signing_keys import SigningKeys
from limen.db.tables import Tables
from limen.errors import ConfigurationError
from limen.settings import AuthSettings

PURPOSE = "signing keys at rest"


def given_keys(settings: AuthSettings) -> Keys | None:
    """The keys that the settings give, or None where the key ring in the database is to be used.

    Raises:
        ConfigurationError: the secret is too weak, or the PEM file cannot be used.
    """
    if settings.algorithm == "HS256":
        fallbacks = [secret.get_secret_value() for secret in settings.secret_key_fallbacks]
        return Keys(KeyRing.from_secret(settings.secret(), fallbacks=fallbacks))
    if settings.signing_key_file is None:
        return None
    try:
        pem = settings.signing_key_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"LIMEN_SIGNING_KEY_FILE cannot be read: {error.strerror}") from None
    return Keys(KeyRing.from_key(SigningKey.from_pem(pem, algorithm=settings.algorithm)))


def stored_keys(
    settings: AuthSettings,
    database: Database,
    tables: Tables,
    *,
    secrets: Sequence[bytes],
    log: RevocationLog,
    revocations: Revocations,
    clock: Clock,
    token_life: timedelta,
) -> SigningKeys:
    """The key ring in the database, which hears of changes by the revocation log.

    Args:
        secrets: the root secrets, the present one first.
        token_life: how long a token that is signed now could still be accepted, differing clocks included.
    """
    rules = RotationRules(
        algorithm=settings.algorithm,
        announce=settings.key_announce_seconds,
        rotate_after=timedelta(days=settings.key_rotation_days).total_seconds() or inf,
        token=token_life.total_seconds(),
    )
    store = KeyStore(database, tables, sealer=Sealer([derive_key(secret, purpose=PURPOSE) for secret in secrets]))
    changes = KeyChanges(store, log=log, clock=clock, rules=rules)
    keys = SigningKeys(store, changes, clock=clock, rules=rules)
    revocations.subscribe(keys.hear)
    return keys
