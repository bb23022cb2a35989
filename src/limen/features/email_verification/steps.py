"""The step of the sign-in pipeline that an unproved address is held up by."""

from limen.core.login import Proof
from limen.features.email_verification.service import STEP, EmailVerificationService


class VerifyEmail:
    """Who has not proved their address does not sign in, where that is required."""

    name = STEP

    def __init__(self, service: EmailVerificationService) -> None:
        self._service = service

    async def wants(self, proof: Proof) -> bool:
        return self._service.is_required and not await self._service.is_verified(proof.subject)
