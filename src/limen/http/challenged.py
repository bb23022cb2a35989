"""Bodies that may carry the answer to a challenge."""

from dataclasses import replace

from pydantic import BaseModel, Field

from limen.core.client import Client

MAX_CHALLENGE = 4096


class Challenged(BaseModel):
    """What asks for something that a captcha may stand before; `challenge` is its answer."""

    challenge: str | None = Field(None, max_length=MAX_CHALLENGE, description="after 403 `challenge_required`")

    def answered_by(self, client: Client) -> Client:
        """The client, with its answer."""
        return replace(client, challenge=self.challenge)
