"""An app with service accounts, and clients that prove who they are."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import jwt as pyjwt
import pytest
from joserfc import jwk
from tests.features.api_keys.conftest import routes
from tests.features.mini_app import MiniApp, features_of

from limen import ApiKeys, Roles, Services
from limen.db.accounts import Account

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ISSUER = "http://localhost:8000/auth"
TOKEN_URL = f"{ISSUER}/token"
ELSEWHERE = "https://billing.example"


@pytest.fixture
async def mini(opened: Any) -> MiniApp:
    """The app of the API keys' stories, with one more audience."""
    features = features_of(ApiKeys(), Services(audiences=[ELSEWHERE]))
    return await opened(features=features, routes=routes)  # type: ignore[no-any-return]


@dataclass
class Machine:
    """A service account and whatever proves it."""

    mini: MiniApp
    account: Account
    secret: str
    credential_id: str

    @property
    def id(self) -> str:
        return self.account.subject

    async def ask(self, *, auth: Any = None, **form: Any) -> Any:
        """A request to the token endpoint as it is given."""
        form = {"grant_type": "client_credentials", **form}
        form = {name: value for name, value in form.items() if value is not None}
        return await self.mini.visitor().client.post("/auth/token", data=form, auth=auth)

    async def by_basic(self, **form: Any) -> Any:
        return await self.ask(auth=(self.id, self.secret), **form)

    async def by_post(self, **form: Any) -> Any:
        return await self.ask(client_id=self.id, client_secret=self.secret, **form)

    async def by_assertion(self, assertion: str, **form: Any) -> Any:
        return await self.ask(client_assertion_type=JWT_BEARER, client_assertion=assertion, **form)

    async def get(self, path: str, token: str) -> Any:
        return await self.mini.visitor().client.get(path, headers={"Authorization": f"Bearer {token}"})


async def make_machine(mini: MiniApp, name: str = "ci-bot", **rights: Any) -> Machine:
    """A service account with a secret; it holds what members hold unless told otherwise."""
    services = mini.auth[Services]
    account = await services.create(name)
    await mini.auth[Roles].assign_as_operator(account.id, **(rights or {"roles": ["member"]}))
    account = await services.get(account.subject)
    new = await services.add_secret(account)
    return Machine(mini, account, new.text, new.credential.id)


@pytest.fixture
async def machine(mini: MiniApp) -> Machine:
    return await make_machine(mini)


def new_key(algorithm: str) -> Any:
    kinds = {
        "ES256": lambda: jwk.ECKey.generate_key("P-256"),
        "EdDSA": lambda: jwk.OKPKey.generate_key("Ed25519"),
        "RS256": lambda: jwk.RSAKey.generate_key(2048),
    }
    return kinds[algorithm]()


def public(key: Any) -> dict[str, Any]:
    members: dict[str, Any] = key.as_dict(private=False)
    return members


def assertion(machine: Machine, key: Any, *, alg: str = "ES256", header: Any = None, **claims: Any) -> str:
    """An assertion of this machine's; a claim given as None is left out."""
    now = int(machine.mini.clock.time())
    said = {"iss": machine.id, "sub": machine.id, "aud": ISSUER, "exp": now + 60, "iat": now, "jti": uuid4().hex}
    said = {name: value for name, value in {**said, **claims}.items() if value is not None}
    material = key.raw_value if isinstance(key, jwk.OctKey) else key.as_pem(private=True)
    return pyjwt.encode(said, material, alg, headers=header)
