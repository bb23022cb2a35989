"""Findings as SARIF 2.1.0, which code hosts show beside the lines of a pull request."""

from collections.abc import Iterable, Sequence

from limen.checks.check import Check
from limen.feature import Finding

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(findings: Sequence[Finding], checks: Sequence[Check], *, version: str) -> dict[str, object]:
    """One run with every rule, those too that nothing broke (OASIS SARIF 2.1.0 §3.14)."""
    rules = [*map(_rule, checks), *_rules_of_features(findings, {each.id for each in checks})]
    places = {str(rule["id"]): index for index, rule in enumerate(rules)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "limen check", "semanticVersion": version, "rules": rules}},
                "results": [_result(finding, places[finding.id]) for finding in findings],
            }
        ],
    }


def _rule(check: Check) -> dict[str, object]:
    return {
        "id": check.id,
        "shortDescription": {"text": check.title},
        "fullDescription": {"text": check.reason},
        "help": {"text": f"{check.cure} (docs/checks.md)"},
        "defaultConfiguration": {"level": check.severity},
    }


def _rules_of_features(findings: Iterable[Finding], known: set[str]) -> list[dict[str, object]]:
    own = {finding.id: finding for finding in findings if finding.id not in known}
    return [{"id": id, "shortDescription": {"text": finding.sentence}} for id, finding in own.items()]


def _result(finding: Finding, index: int) -> dict[str, object]:
    said = f"{finding.where}: {finding.sentence}" if finding.where else finding.sentence
    text = f"{said}. {finding.cure}" if finding.cure else said
    return {
        "ruleId": finding.id,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": text},
        "locations": [_location(finding)],
    }


def _location(finding: Finding) -> dict[str, object]:
    """A line of a file; a setting or a route is a logical place, beside the file that code hosts insist on."""
    path = finding.where if finding.line is not None else ".env"
    physical: dict[str, object] = {"artifactLocation": {"uri": path.replace("\\", "/")}}
    if finding.line is not None:
        physical["region"] = {"startLine": finding.line}
        return {"physicalLocation": physical}
    return {"physicalLocation": physical, "logicalLocations": [{"fullyQualifiedName": finding.where or finding.id}]}
