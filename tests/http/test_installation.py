"""What `install` leaves alone."""

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from tests.features.mini_app import features_of, settings_of

from limen import Auth
from limen.http.guarded_route import GuardedRoute


class OwnRoute(APIRoute):
    pass


@pytest.mark.parametrize(("before", "after"), [(APIRoute, GuardedRoute), (OwnRoute, OwnRoute)])
def test_an_apps_own_route_class_keeps_its_place(before, after):
    app = FastAPI()
    app.router.route_class = before
    Auth(settings=settings_of("sqlite+aiosqlite://"), features=features_of()).install(app)
    assert app.router.route_class is after
