"""Every failure that limen can name.

An error has a public side, fixed by its class (`status`, `code`, `detail`) plus what the client needs to go on
(`data`), and a private side, the `reason`, which is only ever logged. `http.responses` is the one place that
turns an error into an answer.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class ConfigurationError(Exception):
    """The set-up cannot work: one sentence that names the setting and the cure. Raised at start, never by a request."""


class MissingFeature(ConfigurationError, LookupError):
    """Something needs a feature that the `Auth` was made without."""


class AuthError(Exception):
    """A request that is refused.

    Args:
        reason: what happened, for the log; never shown to the client.
        data: what the client needs to go on (`retry_after`, `scope`, `errors`), shown beside `code`.
        context: public identifiers for the log line (a session id, a key id); never a secret.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "invalid_request"
    detail: ClassVar[str] = "The request is not valid."

    def __init__(self, reason: str = "", *, data: Mapping[str, object] | None = None, **context: object) -> None:
        super().__init__(reason or self.detail)
        self.reason = reason or self.detail
        self.data: Mapping[str, object] = data or {}
        self.context = context


class InvalidRequest(AuthError):
    """The request contradicts itself or cannot be read (RFC 6750 §3.1, RFC 6749 §5.2)."""


class NotAuthenticated(AuthError):
    """Nothing was presented where a credential is needed (RFC 6750 §3.1: no error code in the challenge)."""

    status = 401
    code = "not_authenticated"
    detail = "Sign in to use this."


class InvalidCredential(AuthError):
    """A credential was presented and is not good: forged, expired, revoked, malformed (RFC 6750 §3.1)."""

    status = 401
    code = "invalid_token"
    detail = "The credential is invalid, expired or revoked."


class UnknownKey(InvalidCredential):
    """The token names a key or an algorithm that its issuer's ring does not hold; it may have rotated one in since."""


class StepUpRequired(AuthError):
    """The credential is good and the sign-in behind it too long ago: the person must sign in again (RFC 9470 §3).

    Args:
        max_age: whole seconds that the sign-in may be old.
    """

    status = 401
    code = "insufficient_user_authentication"
    detail = "Sign in again to do this."

    def __init__(self, reason: str = "", *, max_age: int, **context: object) -> None:
        super().__init__(reason, data={"max_age": max_age}, **context)
        self.max_age = max_age


class IncorrectLogin(AuthError):
    """The one answer to every failing login, whatever failed (ASVS 6.3.8)."""

    status = 401
    code = "invalid_credentials"
    detail = "Incorrect email or password"


class InvalidGrant(AuthError):
    """A refresh token or authorization grant that is invalid, expired, revoked or replayed (RFC 6749 §5.2)."""

    status = 401
    code = "invalid_grant"
    detail = "The grant is invalid, expired or revoked."


class StepPending(InvalidGrant):
    """The password grant proved the first factor and a step asks for more: answer it with the ticket."""

    detail = "Another step is needed to sign in."

    def __init__(self, *, step: str, ticket: str) -> None:
        super().__init__("a step is pending", data={"step": step, "ticket": ticket, "status": "pending"})


class InvalidClient(AuthError):
    """Client authentication failed (RFC 6749 §5.2)."""

    status = 401
    code = "invalid_client"
    detail = "Client authentication failed."


class UnauthorizedClient(AuthError):
    """The client proved who it is and may not use this grant (RFC 6749 §5.2)."""

    code = "unauthorized_client"
    detail = "The client may not use this grant type."


class InvalidTarget(AuthError):
    """A token was asked for an audience that this issuer does not serve (RFC 8707 §2)."""

    code = "invalid_target"
    detail = "There are no tokens for this audience."


class InvalidScope(AuthError):
    """The scope parameter is not a list of scope tokens (RFC 6749 §3.3)."""

    code = "invalid_scope"
    detail = "The requested scope is malformed."


class UnsupportedGrantType(AuthError):
    """The token endpoint does not know this grant (RFC 6749 §5.2)."""

    code = "unsupported_grant_type"
    detail = "The grant type is not supported."


class InvalidToken(AuthError):
    """A one-time token from a mail or a ticket that is unknown, used or expired."""

    code = "invalid_token"
    detail = "The token is invalid, used or expired."


class InvalidState(AuthError):
    """A sign-in elsewhere comes back that this browser did not begin, or not to this provider, or not in time."""

    code = "invalid_state"
    detail = "This sign-in was not begun in this browser, was used already, or took too long. Begin again."


class AccessDenied(AuthError):
    """The person, or the provider, declined at the provider; or the account here is disabled or was deleted."""

    status = 403
    code = "access_denied"
    detail = "The sign-in was declined."


class EmailMissing(AuthError):
    """The provider names no e-mail address, or vouches for none where the app asks for proved ones."""

    code = "email_missing"
    detail = "The provider gave no email address that can be used here, and an account needs one."


class SignUpClosed(AuthError):
    """Nobody here has this account elsewhere, and accounts are not made by it."""

    status = 403
    code = "sign_up_closed"
    detail = "There is no account for this sign-in here, and none is made by it."


class AnotherBrowser(AuthError):
    """A link to sign in was opened in another browser than the one that asked for it; it is still good there."""

    code = "another_browser"
    detail = "Open the link in the browser in which you asked for it, or type the code of the mail there."


class Forbidden(AuthError):
    """Authenticated, and not allowed."""

    status = 403
    code = "forbidden"
    detail = "You are not allowed to do this."


class InsufficientScope(Forbidden):
    """The credential does not carry a permission that the route needs (RFC 6750 §3.1).

    Args:
        scope: the permissions that would have been enough, space separated.
    """

    code = "insufficient_scope"
    detail = "The credential does not carry the permission that this needs."

    def __init__(self, reason: str = "", *, scope: str, **context: object) -> None:
        super().__init__(reason, data={"scope": scope}, **context)
        self.scope = scope


class ChallengeRequired(AuthError):
    """There were many failed tries: send the answer to the challenge (a captcha) as `challenge` and try again.

    Args:
        data: what the page needs to show it: `challenge`, `site_key`.
    """

    status = 403
    code = "challenge_required"
    detail = "Answer the challenge and try again."


class CrossOrigin(Forbidden):
    """A request that a foreign page made the browser send (ASVS 3.5.1)."""

    code = "cross_origin"
    detail = "This request must come from the same origin."


class NotFound(AuthError):
    """No such object, or one whose existence is private."""

    status = 404
    code = "not_found"
    detail = "There is no such object."


class Conflict(AuthError):
    """The request is well-formed and cannot be carried out as things stand."""

    status = 409
    code = "conflict"
    detail = "The request conflicts with the present state."


class EmailTaken(Conflict):
    """Another account has this e-mail address or username."""

    code = "email_taken"
    detail = "An account with this email exists."


class UsernameTaken(Conflict):
    """Another account has this username."""

    code = "username_taken"
    detail = "An account with this username exists."


class TooManyKeys(Conflict):
    """The owner has as many keys as one may have: revoke some first."""

    code = "too_many_keys"
    detail = "There are too many keys. Revoke some first."


class AccountExists(Conflict):
    """Somebody here has the e-mail address that the provider names, and nothing proves that it is the same person."""

    code = "account_exists"
    detail = "An account with this email exists. Sign in to it, then connect this provider there."


class IdentityTaken(Conflict):
    """The account elsewhere lets somebody else in here."""

    code = "identity_taken"
    detail = "This account is connected to somebody else here."


class LastCredential(Conflict):
    """Without it the person could not sign in any more."""

    code = "last_credential"
    detail = "This is the last way to sign in. Set a password or connect another account first."


class LastAdmin(Conflict):
    """The change would leave no active holder of `*`."""

    code = "last_admin"
    detail = "The last administrator cannot be demoted, disabled or deleted."


class PayloadTooLarge(AuthError):
    """The body or a credential is over its limit; refused before any work."""

    status = 413
    code = "payload_too_large"
    detail = "The request body is too large."


class UnsupportedMediaType(AuthError):
    """The body is not of the media type that the route reads."""

    status = 415
    code = "unsupported_media_type"
    detail = "The body's media type is not supported here."


class Unprocessable(AuthError):
    """Fields that are missing, unknown or of the wrong form.

    Args:
        errors: one mapping per field: `loc`, `msg`, `type`; never the value that was sent.
    """

    status = 422
    code = "validation_error"
    detail = "Some fields are missing or not valid."

    def __init__(self, reason: str = "", *, errors: Sequence[Mapping[str, object]] = (), **context: object) -> None:
        super().__init__(reason, data={"errors": [dict(error) for error in errors]}, **context)


class WeakPassword(Unprocessable):
    """A new password that NIST SP 800-63B-4 §3.1.1.2 or ASVS 6.2 refuses; `errors` holds the reasons."""

    code = "weak_password"
    detail = "Choose a stronger password."


class TooManyRequests(AuthError):
    """A limit is used up.

    Args:
        retry_after: whole seconds until it is worth trying again.
    """

    status = 429
    code = "too_many_requests"
    detail = "Too many tries. Wait and try again."

    def __init__(self, reason: str = "", *, retry_after: int, **context: object) -> None:
        super().__init__(reason, data={"retry_after": retry_after}, **context)
        self.retry_after = retry_after


class Unavailable(AuthError):
    """A store that is needed is down, or the hashing queue is full: try again, nothing was decided.

    Args:
        retry_after: whole seconds until it is worth trying again.
    """

    status = 503
    code = "unavailable"
    detail = "The service is not available for a moment. Try again."

    def __init__(self, reason: str = "", *, retry_after: int = 1, **context: object) -> None:
        super().__init__(reason, data={"retry_after": retry_after}, **context)
        self.retry_after = retry_after


class ProviderUnavailable(Unavailable):
    """A provider is down, slow, or answers what nobody understands."""

    code = "provider_unavailable"
    detail = "The provider does not answer at the moment. Try again, or sign in another way."
