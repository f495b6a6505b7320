"""The gate's verdict as workflow commands of GitHub Actions: an annotation on the line of each finding."""

from __future__ import annotations

from collections.abc import Iterator

from tbcv.findings import Finding, Severity
from tbcv.gate.verdict import Verdict

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def commands(value: Verdict) -> str:
    """Return an annotation for each finding, errors first, and the conclusion as a last line."""
    order = list(_COMMANDS)
    findings = sorted(value.findings, key=lambda one: order.index(one.severity))
    return "\n".join([*(_command(one, value) for one in findings), *_waived(value), value.conclusion]) + "\n"


def _command(finding: Finding, value: Verdict) -> str:
    words = "; ".join(filter(None, [finding.message, finding.hint]))
    return _written(_COMMANDS[finding.severity], finding, value, words)


def _waived(value: Verdict) -> Iterator[str]:
    for one in value.waived:
        words = f"waived until {one.waiver.until} because {one.waiver.reason}: {one.finding.message}"
        yield _written("notice", one.finding, value, words)


def _written(command: str, finding: Finding, value: Verdict, message: str) -> str:
    properties = {}
    if finding.location is not None:
        properties["file"] = value.place(finding.location.path)
        properties["line"] = str(finding.location.line or 1)
    properties["title"] = finding.code
    listed = ",".join(f"{name}={_property(one)}" for name, one in properties.items())
    return f"::{command} {listed}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
