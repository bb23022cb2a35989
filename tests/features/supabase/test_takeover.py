"""Who made an account here with an address that they never proved loses it to whoever proves it, at once."""

from contextlib import AsyncExitStack

import pytest
from tests.features.mailing import mailing_features
from tests.features.mini_app import open_app
from tests.features.supabase.conftest import SupabaseApp, routes
from tests.features.supabase.contract import CheckedSupabase

from limen.features import MagicLinks, Supabase
from limen.testing import FakeClock, outbox

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("verification", ["off", "optional"])
async def test_the_owner_of_an_address_takes_the_account_from_a_bearer_who_never_proved_it(
    database_url: str, project: CheckedSupabase, clock: FakeClock, verification: str
) -> None:
    """By a reset or a magic link, in every worker: not only when what a worker remembers runs out."""
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(
                open_app(
                    database_url,
                    features=mailing_features(Supabase(project.url, key=project.key), MagicLinks()),
                    routes=routes,
                    clock=clock,
                    settings={"email_verification": verification},
                )
            )
            for _ in range(2)
        ]
        here, elsewhere = (SupabaseApp(worker, project) for worker in workers)
        box = outbox(here.auth)
        for email, by in (("alice@example.com", "reset"), ("bob@example.com", "link")):
            stranger = here.user(email)
            squatted = await here.mini.account(email)
            linked = {"provider": "supabase", "issuer": project.issuer, "subject": str(stranger.id)}
            await here.auth.kernel.newcomers.link(squatted, **linked)
            token = project.token(stranger)
            squatters = [worker.bearer(token) for worker in (here, elsewhere)]
            rows = [(await squatter.get("/who")).json()["account"] for squatter in squatters]
            owner = here.mini.visitor()
            if by == "reset":
                await owner.post("/auth/password/forgot", json={"email": email})
                body = {"token": (await box.latest(to=email)).token, "new_password": "some other long sentence"}
                assert (await owner.post("/auth/password/reset", json=body)).status_code == 204
                await owner.login(email, "some other long sentence")
            else:
                await owner.post("/auth/magic-link", json={"email": email})
                body = {"token": (await box.latest(to=email)).token}
                owner.keep(await owner.post("/auth/magic-link/verify", json=body))
            await elsewhere.auth.kernel.revocation_log.catch_up()  # as it does each second
            assert (await owner.get("/who")).json()["sub"] == rows[0] == rows[1], by
            for squatter in squatters:
                assert (await squatter.get("/who")).json()["account"] != rows[0], by
                answer = await squatter.patch("/users/me", json={"username": f"mine-{by}"})
                assert answer.json()["id"] != rows[0], by
