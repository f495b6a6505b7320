"""The gate's verdict as SARIF 2.1.0, which forges and editors read."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import quote

from tbcv import __version__
from tbcv.findings import Finding, Severity
from tbcv.gate.verdict import Verdict
from tbcv.gate.waivers import Waiver
from tbcv.report.document import Json
from tbcv.report.document import finding as described
from tbcv.report.rules import Rule, rules

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def sarif(value: Verdict) -> str:
    """Return the verdict as a SARIF log."""
    listed = rules()
    places = {one.code: number for number, one in enumerate(listed)}
    results = [_result(one, value, places, None) for one in value.findings]
    results += [_result(one.finding, value, places, one.waiver) for one in value.waived]
    driver = {"name": "tbcv", "version": __version__, "rules": [_rule(one) for one in listed]}
    run: Json = {
        "tool": {"driver": driver},
        "originalUriBaseIds": {"SRCROOT": {"description": {"text": "The root of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True}],
        "results": results,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2)


def _rule(rule: Rule) -> Json:
    words = " ".join(filter(None, [rule.why, f"{rule.hint[:1].upper()}{rule.hint[1:]}."]))
    recipe = f"\n\n```python\n{rule.recipe.rstrip()}\n```" if rule.recipe else ""
    return {
        "id": rule.code,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.meaning},
        "help": {"text": words, "markdown": f"{words}{recipe}"},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": ["migration", *map(str, rule.effects)]},
    }


def _result(finding: Finding, value: Verdict, places: dict[str, int], waiver: Waiver | None) -> Json:
    body = described(finding, value.place)
    result: Json = {
        "ruleId": finding.code,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message}; {finding.hint}" if finding.hint else finding.message},
        "partialFingerprints": {"tbcv/v1": _fingerprint(finding, value)},
        "properties": {
            name: body[name] for name in ("revision", "dialect", "effects", "evidence", "depends_on") if body[name]
        },
    }
    if finding.code in places:
        result["ruleIndex"] = places[finding.code]
    if finding.location is not None:
        place: Json = {
            "artifactLocation": {"uri": quote(value.place(finding.location.path)), "uriBaseId": "SRCROOT"},
            "region": {"startLine": finding.location.line or 1},
        }
        result["locations"] = [{"physicalLocation": place}]
    if waiver is not None:
        words = f"{waiver.reason} (until {waiver.until})"
        result["suppressions"] = [{"kind": "inSource", "status": "accepted", "justification": words}]
    return result


def _fingerprint(finding: Finding, value: Verdict) -> str:
    """Identify a finding across runs, whatever line it moves to."""
    place = value.place(finding.location.path) if finding.location else ""
    relation = finding.evidence.relation if finding.evidence else ""
    words = (finding.code, finding.revision or "", finding.dialect or "", place, relation)
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
