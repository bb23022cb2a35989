"""`limen limits clear` gives an account its tries back."""

import asyncio
import importlib

import pytest

from limen import Passwords
from limen.errors import IncorrectLogin, TooManyRequests


def write_app(home, name):
    path = home / f"{name}.py"
    source = path.read_text().replace("Accounts(), Roles()]", "Accounts(), Roles(), Limits()]")
    path.write_text(f"from limen.features import Limits\n{source}")


async def use_up(auth):
    async with auth:
        for _ in range(10):
            with pytest.raises(IncorrectLogin):
                await auth[Passwords].verify("alice@example.com", "wrong horse battery staple")
        with pytest.raises(TooManyRequests):
            await auth[Passwords].verify("alice@example.com", "wrong horse battery staple")


async def tries_again(auth):
    async with auth:
        with pytest.raises(IncorrectLogin):
            await auth[Passwords].verify("alice@example.com", "wrong horse battery staple")


def test_an_account_gets_its_tries_back(limen, home, app_file, app_name):
    write_app(home, app_file)
    limen("migrate", "--app", app_name)
    made = limen(
        "users", "create", "--email", "alice@example.com", "--password", "a pass phrase of the tests", "--app", app_name
    )
    assert made.exit_code == 0, made.output
    auth = importlib.import_module(app_file).auth
    asyncio.run(use_up(auth))
    answer = limen("limits", "clear", "Alice@Example.com", "--app", app_name)
    assert answer.exit_code == 0, answer.output
    assert answer.output == "alice@example.com has its tries back\n"
    asyncio.run(tries_again(importlib.import_module(app_file).auth))


def test_who_is_not_there_is_said(limen, home, app_file, app_name):
    write_app(home, app_file)
    limen("migrate", "--app", app_name)
    answer = limen("limits", "clear", "nobody@example.com", "--app", app_name)
    assert answer.exit_code == 1
    assert "no such user" in answer.output.lower() or "no such object" in answer.output.lower()


def test_an_app_without_the_feature_says_so(limen, app_name):
    limen("migrate", "--app", app_name)
    limen(
        "users", "create", "--email", "alice@example.com", "--password", "a pass phrase of the tests", "--app", app_name
    )
    answer = limen("limits", "clear", "alice@example.com", "--app", app_name)
    assert answer.exit_code == 1
    assert "Limits is not among the features" in answer.output
