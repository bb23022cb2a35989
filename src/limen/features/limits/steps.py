"""The challenge: a captcha, asked when a budget is nearly used up."""

import asyncio
import logging
from ssl import SSLContext
from typing import TYPE_CHECKING, Protocol

from limen.core.client import Client
from limen.core.strict_json import parse_object

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

_log = logging.getLogger("limen.limits")

URLS = {
    "turnstile": "https://challenges.cloudflare.com/turnstile/v0/siteverify",
    "hcaptcha": "https://api.hcaptcha.com/siteverify",
    "recaptcha": "https://www.google.com/recaptcha/api/siteverify",
}
MAX_RESPONSE = 4096
_OUR_MISTAKES = frozenset({"missing-input-secret", "invalid-input-secret"})
TIMEOUT_SECONDS = 3.0


class Challenge(Protocol):
    """Something that a person answers and a script does not.

    Attributes:
        name: which one it is, so that the page knows what to show.
        site_key: public; what the page shows it with.
    """

    name: str
    site_key: str

    async def verify(self, response: str, client: Client) -> bool:
        """Whether this is a good answer of this client."""
        ...


class SiteVerify:
    """Turnstile, hCaptcha or reCAPTCHA: all three verify an answer by the same form.

    Args:
        name: `turnstile`, `hcaptcha` or `recaptcha`.
        site_key: public, for the page.
        secret: private, for the service.
        url: another service that speaks the same.
        hostnames: where the challenge may have been answered; empty for what the service allows.
        client: sends the request; tests hand in one that reaches a double.

    An outage of the service, or a secret that it does not know, lets the answer pass, bounded by the budgets and
    logged: it must not lock everybody out.
    """

    def __init__(
        self,
        name: str,
        *,
        site_key: str,
        secret: str,
        url: str | None = None,
        hostnames: tuple[str, ...] = (),
        client: "AsyncClient | None" = None,
    ) -> None:
        if url is None and name not in URLS:
            raise ValueError(f"SiteVerify({name!r}): know {', '.join(URLS)}; give url=… for another")
        self.name = name
        self.site_key = site_key
        self._secret = secret
        self._url = url or URLS[name]
        self._hostnames = frozenset(hostnames)
        self._client = client
        self._tls: SSLContext | None = None

    async def verify(self, response: str, client: Client) -> bool:
        if not 0 < len(response) <= MAX_RESPONSE:
            return False
        form = {"secret": self._secret, "response": response, **({"remoteip": client.ip} if client.ip else {})}
        answer = await self._ask(form)
        if answer is None or self._is_misconfigured(answer):
            return True
        if answer.get("success") is not True:
            return False
        return not self._hostnames or answer.get("hostname") in self._hostnames

    def _is_misconfigured(self, answer: dict[str, object]) -> bool:
        codes = answer.get("error-codes")
        wrong = _OUR_MISTAKES.intersection(codes if isinstance(codes, list) else ())
        if wrong:
            _log.error("the challenge service %s refuses its secret, so answers pass: %s", self.name, sorted(wrong)[0])
        return bool(wrong)

    async def _ask(self, form: dict[str, str]) -> dict[str, object] | None:
        """What the service says, or None when it says nothing that can be understood."""
        import httpx2

        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                if self._client is not None:
                    return _read(await self._client.post(self._url, data=form))
                self._tls = self._tls or httpx2.create_ssl_context()  # reads a file of authorities, once
                async with httpx2.AsyncClient(verify=self._tls, timeout=TIMEOUT_SECONDS) as client:
                    return _read(await client.post(self._url, data=form))
        except (httpx2.HTTPError, TimeoutError, ValueError) as error:
            _log.warning(
                "the challenge service %s gives no answer, so answers pass: %s", self.name, type(error).__name__
            )
            return None


def _read(answer: "Response") -> dict[str, object]:
    answer.raise_for_status()
    return parse_object(answer.content)
