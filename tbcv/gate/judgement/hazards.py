"""The hazards: what may be observed of a revision, how much it weighs, why it hurts, and how to do it instead.

One readable table. `judge` maps the observations of a rehearsal to findings; `docs/hazards.md` is the same table as
a text, and every recipe is run by a test.
"""

from __future__ import annotations

from collections.abc import Iterator

from tbcv.findings import Effect, Finding, Severity
from tbcv.gate.judgement.hazard import Hazard
from tbcv.gate.judgement.outcomes import sightings_of_outcome
from tbcv.gate.judgement.sightings import Sighting, sightings_of_locks, sightings_of_rebuilds
from tbcv.gate.judgement.table import HAZARDS
from tbcv.gate.rehearsals.rehearsed import Rehearsal, StepRehearsal

__all__ = ["HAZARDS", "Hazard", "judge"]

_BY_CODE = {hazard.code: hazard for hazard in HAZARDS}


def judge(rehearsal: Rehearsal) -> tuple[Finding, ...]:
    """Say what the observations of a rehearsal amount to, revision by revision."""
    return tuple(
        _finding(sighting, step, rehearsal.dialect)
        for step in rehearsal.steps
        for sighting in _once(_sightings(step, rehearsal.dialect))
    )


def _sightings(step: StepRehearsal, dialect: str) -> Iterator[Sighting]:
    if dialect == "sqlite":
        yield from sightings_of_rebuilds(step)
    else:
        yield from sightings_of_locks(step)
    yield from sightings_of_outcome(step, dialect)


def _once(sightings: Iterator[Sighting]) -> list[Sighting]:
    """Keep one of those that say the same about the same place, as each turn of a loop does."""
    kept: dict[object, Sighting] = {}
    for one in sightings:
        relation = one.evidence.relation if one.evidence is not None else one.message
        key = (one.code, one.location, relation)
        known = kept.get(key)
        if known is None or len(one.effects) > len(known.effects):
            kept[key] = one
    return list(kept.values())


def _finding(sighting: Sighting, step: StepRehearsal, dialect: str) -> Finding:
    hazard = _BY_CODE[sighting.code]
    return Finding(
        code=sighting.code,
        # What has an effect that was seen is no mere remark, unless one can live with it.
        severity=Severity.ERROR if sighting.effects and not hazard.tolerable else hazard.severity,
        message=sighting.message,
        hint=hazard.hint,
        revision=step.revision.id,
        location=sighting.location,
        effects=tuple(sorted(sighting.effects, key=list(Effect).index)),
        dialect=dialect,
        evidence=sighting.evidence,
        depends_on=sighting.depends_on,
    )
