"""The fake project, held to GoTrue's own contract: requests that come, and answers that go, in every test."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.validators import validator_for

from limen.testing.supabase import AUTH, Asked, FakeSupabase, Said

CONTRACT = json.loads((Path(__file__).parent / "gotrue.json").read_text("utf-8").replace('"oneOf"', '"anyOf"'))
UNLISTED = ("/.well-known/jwks.json", "/provider")
"""The keys, which the contract does not list, and the pages of a provider, which are not GoTrue's."""


class CheckedSupabase(FakeSupabase):
    """Notes every request and answer that the contract does not allow.

    Some things are read kindly, because GoTrue, its clients and its contract say them differently: `null` is a field
    that was not sent; an operation that lists no refusal at all may refuse with the common error; one of two forms that
    both allow every object is either. What a test answers `instead` is the test's own affair.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.violations: list[str] = []

    def answer(self, asked: Asked) -> Said:
        said = super().answer(asked)
        path = asked.path.removeprefix(AUTH)
        if path not in self.instead and path not in UNLISTED:
            self.violations += [f"{asked.method} {path}: {found}" for found in check(path, asked, said)]
        return said


def check(path: str, asked: Asked, said: Said) -> list[str]:
    """What of a request and its answer the contract does not allow."""
    operation = CONTRACT["paths"].get(path, {}).get(asked.method.lower())
    if operation is None:
        return ["no such operation"]
    return [*_request(operation, asked, said), *_answer(operation, said)]


def _request(operation: dict[str, Any], asked: Asked, said: Said) -> list[str]:
    found = []
    for parameter in operation.get("parameters", []):
        name, value = parameter["name"], asked.query.get(parameter["name"])
        if value is None and parameter.get("required"):
            found.append(f"the parameter {name} is missing")
        if value is not None:
            found += _differences(value, parameter["schema"], f"parameter {name}")
    if "APIKeyAuth" in str(operation.get("security")) and said.status < 400 and "requestBody" in operation:
        found += [] if "apikey" in asked.headers else ["no apikey"]
    if "requestBody" in operation and said.status < 400:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        found += _differences(_sent(json.loads(asked.body)), schema, "request")
    return found


def _answer(operation: dict[str, Any], said: Said) -> list[str]:
    listed = operation["responses"].get(str(said.status))
    if listed is None:
        refuses = any(status.startswith("4") and status != "429" for status in operation["responses"])
        if said.status == 401 and b"No API key" in said.body:  # the gateway before it
            return []
        if refuses or not 400 <= said.status < 500:
            return [f"answers {said.status}, which is not listed"]
        return _differences(json.loads(said.body), {"$ref": "#/components/schemas/ErrorSchema"}, "answer")
    response = _resolved(listed)
    if "Location" in response.get("headers", {}) and "Location" not in said.headers:
        return ["no Location"]
    content = response.get("content")
    if content is None:
        return [] if not said.body else ["a body where there is none"]
    return _differences(json.loads(said.body), content["application/json"]["schema"], "answer")


def _differences(value: object, schema: dict[str, Any], where: str) -> list[str]:
    kind = validator_for({}, Draft4Validator)
    validator = kind({**schema, "components": CONTRACT["components"]}, format_checker=kind.FORMAT_CHECKER)
    return [f"{where}: {error.json_path} {error.message[:200]}" for error in validator.iter_errors(value)]


def _resolved(item: dict[str, Any]) -> dict[str, Any]:
    reference = item.get("$ref")
    return item if reference is None else CONTRACT["components"]["responses"][reference.rpartition("/")[2]]


def _sent(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sent(each) for name, each in value.items() if each is not None}
    return value
