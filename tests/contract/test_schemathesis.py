"""Whatever a stranger or an administrator sends, the demo answers what its OpenAPI document says, and never a 5xx."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
)

ANSWERS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

# No example is kept and none depends on the day: a failure here must be a failure everywhere.
bounded = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def operations(demo: Any) -> list[Any]:
    """Every operation of the demo's document."""
    document = schemathesis.openapi.from_asgi("/openapi.json", demo)
    found = [operation.ok() for operation in document.get_all_operations()]
    assert len(found) > 25
    return found


def failures(operation: Any, call: Callable[[Any], object]) -> Iterator[str]:
    """What is wrong with the answers to good and to bad requests for this operation."""

    def conforms(case: Any) -> None:
        call(case)

    for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
        try:
            bounded(given(case=operation.as_strategy(generation_mode=mode))(conforms))()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # there is no bad request where nothing is asked for
        except (FailureGroup, BaseExceptionGroup) as group:
            yield f"{operation.label}: {group}"


def test_nobody_gets_other_answers_than_the_document_says(operations: list[Any]) -> None:
    found = [
        failure
        for operation in operations
        for failure in failures(operation, lambda case: case.call_and_validate(checks=[*ANSWERS, ignored_auth]))
    ]
    assert not found, "\n\n".join(found)


def test_an_administrator_gets_no_other_answers_than_the_document_says(demo: Any, operations: list[Any]) -> None:
    found = []
    for operation in operations:
        admin = demo.admin_headers()  # the one before may have signed out
        found += failures(operation, lambda case, shown=admin: case.call_and_validate(checks=ANSWERS, headers=shown))
    assert not found, "\n\n".join(found)
