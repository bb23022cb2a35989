"""Why somebody would come in at a route, or would not: the guards asked one after the other, step by step."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from urllib.parse import unquote

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import solve_dependencies
from starlette.requests import Request
from starlette.routing import compile_path

from limen.core.clock import Clock
from limen.core.decision import Step
from limen.core.object_rules import ObjectRules
from limen.core.policy import Policy
from limen.core.principal import Principal
from limen.errors import AuthError, NotAuthenticated, NotFound, Unprocessable
from limen.http.guards import Guard
from limen.http.object_guard import ObjectGuard
from limen.http.route_map import EVERY_METHOD, MappedRoute


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would happen before the endpoint.

    Attributes:
        steps: the decisions in the order in which they were made.
        refusal: the answer, or None where the endpoint is reached.
    """

    route: MappedRoute
    steps: tuple[Step, ...]
    refusal: AuthError | None = None


class Explainer:
    """Asks the guards of an app's routes without a request.

    Args:
        memo: where a request keeps its principal.
    """

    def __init__(
        self, app: FastAPI, routes: Sequence[MappedRoute], *, rules: ObjectRules, clock: Clock, memo: str
    ) -> None:
        self._app = app
        self._routes = routes
        self._rules = rules
        self._clock = clock
        self._memo = memo

    async def explain(self, principal: Principal | None, method: str, target: str) -> Explanation:
        """What this principal, or nobody, would meet at `GET /items/7?x=1`.

        The app's own functions run, and what loads the object of the path; the endpoint does not.

        Raises:
            NotFound: no route answers this method and path.
        """
        path, _, query = target.partition("?")
        route, values = self._match(method, path)
        scope: dict[str, object] = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "query_string": query.encode(),
            "path_params": values,
            "headers": [],
            "app": self._app,
            self._memo: principal,
        }
        steps: list[Step] = []
        try:
            await self._ask(route, principal, Request(scope), steps)
        except AuthError as refusal:
            return Explanation(route=route, steps=tuple(steps), refusal=refusal)
        return Explanation(route=route, steps=tuple(steps))

    def _match(self, method: str, path: str) -> tuple[MappedRoute, dict[str, object]]:
        for route in self._routes:
            pattern, _, convertors = compile_path(route.path)
            found = pattern.match(unquote(path))
            if found and (method in route.methods or EVERY_METHOD in route.methods):
                values = found.groupdict()
                return route, {name: convertors[name].convert(value) for name, value in values.items()}
        raise NotFound("no route answers this", method=method, path=path)

    async def _ask(self, route: MappedRoute, principal: Principal | None, request: Request, steps: list[Step]) -> None:
        declared = route.declared
        for guard, policy in declared.guards if declared else ():
            await self._ask_guard(guard, policy, principal, steps)
        for object_guard, dependant in declared.object_guards if declared else ():
            if principal is not None:
                await self._ask_object_guard(object_guard, dependant, principal, request, steps)

    async def _ask_guard(self, guard: Guard, policy: Policy, principal: Principal | None, steps: list[Step]) -> None:
        if principal is None:
            steps.append(Step(0, str(policy), guard.is_optional))
            if guard.is_optional:
                return
            raise NotAuthenticated
        now = self._clock.time()
        resolved = await policy.resolve(principal, now=now)
        steps.extend(resolved.explain(principal, now=now))
        resolved.check(principal, now=now)

    async def _ask_object_guard(
        self, guard: ObjectGuard, dependant: Dependant, principal: Principal, request: Request, steps: list[Step]
    ) -> None:
        target = await self._load(dependant, request)
        before = len(steps)
        for held in sorted(principal.permissions) if target is not None else ():
            for rule in self._rules.counting(_holding(principal, held), guard.needed, type(target)):
                allowed = rule is None or await rule.allows(principal, target)
                counts = f"holds {held}, which counts on every {type(target).__name__}"
                steps.append(Step(1, counts if rule is None else f"holds {held}, which counts by {rule}", allowed))
        try:
            await guard(principal=principal, target=target)
        except AuthError:
            steps.insert(before, Step(0, f"{guard.needed} on {_named(target)}", False))
            raise
        steps.insert(before, Step(0, f"{guard.needed} on {_named(target)}", True))

    async def _load(self, dependant: Dependant, request: Request) -> object:
        async with AsyncExitStack() as stack:
            request.scope["fastapi_inner_astack"] = request.scope["fastapi_function_astack"] = stack
            solved = await solve_dependencies(
                request=request,
                dependant=dependant,
                dependency_overrides_provider=self._app,
                async_exit_stack=stack,
                embed_body_fields=False,
            )
            if solved.errors:
                raise Unprocessable("the path or query is of another form")
            return solved.values["target"]


def _holding(principal: Principal, permission: str) -> Principal:
    return replace(principal, permissions=frozenset({permission}))


def _named(target: object) -> str:
    return "nothing: there is no such object" if target is None else f"this {type(target).__name__}"
