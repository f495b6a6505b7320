"""What one kind of trial only suspects and the other one has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tbcv.findings import Effect, Finding
from tbcv.gate.releases.compatibility import CODE_IF
from tbcv.gate.releases.rows import mentions

_REFUSED = "fails-on-existing-data"
_LOST = {"data-loss", "type-narrowing"}


def corroborated(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Give the findings, with the effect where it is no mere possibility that the previous release breaks.

    What rows the new schema refuses is found by trying, but not whether there are such rows. Where the upgrade fails on
    some, or had to remove them or make others of them, there are, and the release that wrote them writes them on.

    Args:
        findings: Those of the rehearsal and of the compatibility, of all revisions and engines.
    """
    seen = [one for one in findings if one.code == _REFUSED or one.code in _LOST]
    for one in findings:
        told = one.code == CODE_IF and any(_tells(other, one) for other in seen)
        yield replace(one, effects=(Effect.BREAKS_PREVIOUS_RELEASE,)) if told else one


def _tells(seen: Finding, suspected: Finding) -> bool:
    """Tell whether something seen in a rehearsal is about the rows that a release is suspected to write."""
    if (seen.revision, seen.dialect) != (suspected.revision, suspected.dialect) or suspected.evidence is None:
        return False
    if seen.evidence is None:
        # On which table an upgrade failed is not always known.
        return seen.code == _REFUSED
    table = suspected.evidence.relation.rpartition(".")[2].strip('"')
    return mentions(f"{seen.message} {seen.evidence.statement}", table)
