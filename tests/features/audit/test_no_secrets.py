"""No secret that was handed out or typed is in the record, in its log lines, in a span or in a metric."""

import logging

import pytest
from tests.features.api_keys.conftest import everything_in
from tests.features.audit.conftest import entries
from tests.features.audit.test_record import walk

from limen.core import audit_chain
from limen.core.checked_token import CheckedToken
from limen.core.opaque import RefreshTokens
from limen.features.tokens.service import TokenService
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio


async def test_every_secret_of_a_day_is_nowhere(mini, caplog, monkeypatch):
    secrets: set[str] = {PASSWORD, "another long phrase", "a typed secret", "b-typed-secret"}
    mint, sign, access = CheckedToken.mint, RefreshTokens.sign, TokenService._access_token

    def noted(text):
        secrets.add(text)
        return text

    def minted(prefix):
        token = mint(prefix)
        noted(token.secret)
        return token

    monkeypatch.setattr(CheckedToken, "mint", minted)
    monkeypatch.setattr(RefreshTokens, "sign", lambda self, pair: noted(sign(self, pair)))
    monkeypatch.setattr(TokenService, "_access_token", lambda *call: noted(access(*call)))
    with caplog.at_level(logging.DEBUG, logger="limen"):
        await walk(mini)
        await mini.visitor().login("a typed secret", "b-typed-secret")
        await mini.visitor().get("/users/me", headers={"Authorization": "Bearer b-typed-secret"})
        await mini.visitor().get("/users/me", headers={"X-API-Key": "lmk_" + "b-typed-secret"})
        await mini.visitor().post("/auth/refresh", json={"refresh_token": "b-typed-secret"})
    found = await entries(mini)
    assert len(found) > 20
    places = {"database": await everything_in(mini), "entries": repr(found), "log": caplog.text}
    assert '"event": "login_failed"' in places["log"]
    assert len(secrets) > 10
    for secret in secrets:
        for name, content in places.items():
            assert secret not in content, f"a secret is in the {name}"


def test_keys_print_as_nothing():
    key = audit_chain.ChainKey.of(b"k" * 32)
    assert "kkk" not in repr(audit_chain.ChainKeys((key,)))
