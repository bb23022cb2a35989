"""The routes that are attacked, and the paths and bodies by which they are asked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from starlette.routing import compile_path

from limen.attack.attempts import Aim
from limen.http.route_map import EVERY_METHOD, MappedRoute

MAX_LIST = 100
_SAMPLES = {"int": "1", "float": "1.0", "uuid": "00000000-0000-4000-8000-000000000001"}
_DEEPEST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Attackable:
    """A route, by one of its methods.

    Attributes:
        pattern: its path, with the names of its parameters.
        is_the_apps: whether the app wrote it; limen's own are attacked, but nothing is made there.
        is_open: neither guarded nor public on purpose.
        has_object_guard: whether a rule over objects decides.
        is_mount: an app behind, which decides about its own paths.
    """

    aim: Aim
    pattern: str
    parameters: tuple[str, ...] = ()
    is_the_apps: bool = True
    is_open: bool = False
    has_object_guard: bool = False
    is_mount: bool = False

    @property
    def has_parameters(self) -> bool:
        """Whether its path names something."""
        return bool(self.parameters)

    def path_with(self, values: Mapping[str, str]) -> str:
        """The path, with these values or samples of the right form."""
        _, plain, convertors = compile_path(self.pattern)
        for name, convertor in convertors.items():
            kind = type(convertor).__name__.removesuffix("Convertor").lower()
            sample = _SAMPLES["uuid"] if name.endswith("uuid") else _SAMPLES.get(kind, "1")
            plain = plain.replace(f"{{{name}}}", quote(values.get(name, sample), safe=""))
        return plain

    def __str__(self) -> str:
        return f"{self.aim.method} {self.pattern}"


def attackable(routes: Sequence[MappedRoute], *, prefixes: Sequence[str]) -> tuple[Attackable, ...]:
    """Every route that somebody must not reach, once for each method; what is public on purpose is left out.

    Args:
        prefixes: of limen's own routes.
    """
    return tuple(each for route in routes for each in _by_method(route, prefixes))


def _by_method(route: MappedRoute, prefixes: Sequence[str]) -> "list[Attackable]":
    guards = route.declared.guards if route.declared else ()
    if route.access == "public" and not guards:
        return []
    methods = [method for method in route.methods if method not in ("HEAD", "OPTIONS") or len(route.methods) == 1]
    is_mount = route.methods == (EVERY_METHOD,)
    return [
        Attackable(
            aim=Aim(
                method="GET" if is_mount else method,
                path=route.path,
                needs_scopes=bool(route.scopes) and route.access == "guarded",
                takes_nothing=bool(guards) and route.access != "guarded",
            ),
            pattern=route.path,
            parameters=tuple(compile_path(route.path)[2]),
            is_the_apps=not route.path.startswith(tuple(prefixes)),
            is_open=route.access == "unguarded",
            has_object_guard=bool(route.declared and route.declared.object_guards),
            is_mount=is_mount,
        )
        for method in methods
    ]


def sample_body(document: Mapping[str, object], path: str) -> object:
    """A body that a POST to this path would take, by the app's OpenAPI document."""
    schema = _at(document, "paths", path, "post", "requestBody", "content", "application/json", "schema")
    return _sample(document, schema if isinstance(schema, dict) else {}, _DEEPEST)


def _sample(document: Mapping[str, object], schema: Mapping[str, object], depth: int) -> object:
    reference = schema.get("$ref")
    if isinstance(reference, str) and depth:
        found = _at(document, *reference.removeprefix("#/").split("/"))
        return _sample(document, found if isinstance(found, dict) else {}, depth - 1)
    for name in ("default", "const", "example"):
        if name in schema:
            return schema[name]
    choices = schema.get("enum") or schema.get("examples")
    if isinstance(choices, list) and choices:
        return choices[0]
    for name in ("anyOf", "oneOf", "allOf"):
        variants = schema.get(name)
        if isinstance(variants, list) and variants and isinstance(variants[0], dict) and depth:
            return _sample(document, variants[0], depth - 1)
    return _plain_sample(document, schema, depth)


def _plain_sample(document: Mapping[str, object], schema: Mapping[str, object], depth: int) -> object:
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties")
        needed = schema.get("required")
        names = needed if isinstance(needed, list) else []
        fields = properties if isinstance(properties, dict) and depth else {}
        return {name: _sample(document, each, depth - 1) for name, each in fields.items() if name in names}
    if kind == "array":
        return []
    if kind in ("integer", "number"):
        least = schema.get("minimum", schema.get("exclusiveMinimum"))
        return least + 1 if isinstance(least, int | float) else 1
    return True if kind == "boolean" else _text_sample(schema)


def _text_sample(schema: Mapping[str, object]) -> str:
    formats = {
        "email": "limen-attack@example.com",
        "uuid": _SAMPLES["uuid"],
        "date": "2030-01-01",
        "date-time": "2030-01-01T00:00:00Z",
        "uri": "https://example.com/",
    }
    least = schema.get("minLength")
    text = formats.get(str(schema.get("format")), "limen attack")
    return text.ljust(least, "x") if isinstance(least, int) else text


def _at(document: object, *names: str) -> object:
    for name in names:
        document = document.get(re.sub("~1", "/", name)) if isinstance(document, dict) else None
    return document
