"""Values as JSON documents with a versioned schema; `docs/commands.md` describes each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tbcv.errors import TbcvError, UpgradeFailedError
from tbcv.findings import Finding
from tbcv.gate.observers.observed import Run, Statement
from tbcv.gate.rebase import Rebased
from tbcv.gate.rehearsals.rehearsal import StepRehearsal
from tbcv.gate.verdict import Verdict
from tbcv.gate.waivers import Waived
from tbcv.migrate.backup import Backup
from tbcv.migrate.create import Creation
from tbcv.migrate.history import Revision
from tbcv.migrate.journal import Entry
from tbcv.migrate.losses import Loss, Losses
from tbcv.migrate.plan import Outcome, Plan
from tbcv.migrate.snapshot import Difference, Snapshot
from tbcv.migrate.status import Status

VERSION = 1
"""Raised when a key changes its meaning or goes; new keys come without notice."""

Json = dict[str, Any]


def dump(kind: str, body: Json) -> str:
    """Return a document as text.

    Args:
        kind: What it is: the verb, or ``error``.
        body: Its keys beside ``schema`` and ``kind``.
    """
    return json.dumps({"schema": VERSION, "kind": kind, **body}, ensure_ascii=False, indent=2)


def status(value: Status, database: str) -> Json:
    """Describe where a database stands."""
    return {
        "database": database,
        "state": str(value.state),
        "description": value.description,
        "current": list(value.current),
        "heads": list(value.heads),
        "pending": list(value.pending),
        "unknown": list(value.unknown),
        "above": list(value.above),
        "blocking": list(value.blocking),
    }


def revision(value: Revision) -> Json:
    """Describe one revision."""
    return {
        "revision": value.id,
        "parents": list(value.parents),
        "depends_on": list(value.dependencies),
        "labels": list(value.labels),
        "message": value.message,
        "file": value.path.name,
    }


def history(revisions: Iterable[Revision], place: Status | None) -> Json:
    """Describe revisions and which of them a database has; ``applied`` is null where that is unknown."""
    return {
        "current": list(place.current) if place else None,
        "state": str(place.state) if place else None,
        "revisions": [revision(one) | {"applied": place.has(one.id) if place else None} for one in revisions],
    }


def journal(entries: Iterable[Entry]) -> Json:
    """Describe who migrated a database, newest first."""
    return {
        "runs": [
            {
                "at": one.at.isoformat() if one.at else None,
                "direction": str(one.direction),
                "ended": one.ended,
                "before": list(one.before),
                "after": list(one.after),
                "steps": [{"revision": step.id, "seconds": step.seconds} for step in one.steps],
                "reason": one.reason,
                "backup": one.backup or None,
                "who": one.who,
                "host": one.host,
                "version": one.version,
            }
            for one in entries
        ]
    }


def outcome(value: Outcome, database: str) -> Json:
    """Describe what a run did."""
    return {
        "database": database,
        "before": list(value.before),
        "after": list(value.after),
        "backup": value.backup or None,
        "applied": [
            {"revision": step.id, "message": step.message, "seconds": round(step.seconds, 3)} for step in value.applied
        ],
    }


def script(plan: Plan, sql: str, database: str) -> Json:
    """Describe what a run would do, with its SQL."""
    return {
        "database": database,
        "direction": str(plan.direction),
        "before": list(plan.current),
        "target": plan.target,
        "steps": list(plan.ids),
        "sql": sql,
    }


def losses(values: Iterable[Loss]) -> list[Json]:
    """Describe what a downgrade takes away."""
    return [
        {
            "revision": one.revision,
            "table": one.table,
            "column": one.column,
            "how": one.how,
            "rows": one.rows,
        }
        for one in values
    ]


def plan(value: Plan, lost: Losses, sql: str, database: str) -> Json:
    """Describe what a run would do."""
    steps = [
        revision(step) | {"losses": losses(one for one in lost.found if one.revision == step.id)}
        for step in value.steps
    ]
    return {
        "database": database,
        "current": list(value.current),
        "target": value.target,
        "steps": steps,
        "losses_unknown": lost.unknown,
        "losses_tried_on": lost.tried_on,
        "sql": sql,
    }


def backup(value: Backup) -> Json:
    """Describe a backup."""
    return {
        "id": value.id,
        "path": str(value.path),
        "database": value.database,
        "extent": value.kind,
        "reason": value.reason,
        "revisions": list(value.revisions),
        "created_at": value.created_at.isoformat(),
        "bytes": value.size_bytes,
        "fingerprint": value.fingerprint,
        "rows": dict(value.rows),
    }


def creation(value: Creation) -> Json:
    """Describe a new revision; ``revision`` is null where none was needed."""
    return {
        "revision": value.revision,
        "path": str(value.path) if value.path else None,
        "tried_on": list(value.tried_on),
        "upgrade_sql": dict(value.upgrade_sql),
        "downgrade_sql": dict(value.downgrade_sql),
        "findings": [finding(one) for one in value.findings],
    }


def snapshot(value: Snapshot, database: str) -> Json:
    """Describe a schema."""
    return {
        "database": database,
        "dialect": value.dialect,
        "fingerprint": value.fingerprint,
        "facts": [fact.line for fact in value.facts],
    }


def difference(value: Difference, unmanaged: Iterable[str], against: str) -> Json:
    """Describe how a schema differs from what it should be."""
    return {
        "against": against,
        "missing": [fact.line for fact in value.missing],
        "unexpected": [fact.line for fact in value.unexpected],
        "unmanaged": list(unmanaged),
    }


def finding(value: Finding, place: Callable[[Path], str] = lambda path: path.name) -> Json:
    """Describe a finding.

    Args:
        value: The finding.
        place: How its file is named.
    """
    location, evidence = value.location, value.evidence
    return {
        "code": value.code,
        "severity": str(value.severity),
        "message": value.message,
        "hint": value.hint,
        "revision": value.revision,
        "file": place(location.path) if location else None,
        "line": location.line if location else None,
        "dialect": value.dialect,
        "effects": [str(one) for one in value.effects],
        "evidence": {name: one for name, one in asdict(evidence).items() if one not in ("", None)}
        if evidence
        else None,
        "depends_on": value.depends_on or None,
    }


def verdict(value: Verdict) -> Json:
    """Describe what the gate says about a change."""
    base = value.base
    return {
        "passed": value.passed,
        "base": {"kind": str(base.kind), "name": base.name, "commit": base.commit or None, "tip": base.tip or None},
        "dialects": list(value.dialects),
        "findings": [finding(one, value.place) for one in value.findings],
        "waived": [waived(one, value.place) for one in value.waived],
        "changes": {one.dialect: list(one.changes) for one in value.drifts},
        "deploy_order": value.deploy_order or None,
        "revisions": [_rehearsed(one, value) for one in value.new],
        "notes": list(value.notes),
        "parts": [
            {
                "name": one.name,
                "seconds": round(one.seconds, 3),
                "findings": one.findings,
                "skipped": one.skipped or None,
            }
            for one in value.parts
        ],
    }


def _rehearsed(value: Revision, verdict: Verdict) -> Json:
    """Describe a new revision and, per engine, what it was seen to do."""
    compatible = {(one.dialect, each.revision): each for one in verdict.compatibilities for each in one.verdicts}
    engines: Json = {}
    for rehearsal in verdict.rehearsals:
        for step in rehearsal.steps:
            if step.revision.id == value.id:
                said = compatible.get((rehearsal.dialect, value.id))
                engines[rehearsal.dialect] = _step(step) | {
                    "compatibility": str(said.verdict) if said else None,
                    "reasons": list(said.reasons) if said else [],
                }
    return revision(value) | {"file": verdict.place(value.path), "engines": engines}


def _step(value: StepRehearsal) -> Json:
    return {
        "reversible": value.reversible,
        "failure": value.failure.message if value.failure else None,
        "missing": [fact.line for fact in value.schema.missing],
        "unexpected": [fact.line for fact in value.schema.unexpected],
        "upgrade": [_statement(one) for one in value.of(Run.UP)],
        "downgrade": [_statement(one) for one in value.of(Run.DOWN)],
    }


def _statement(value: Statement) -> Json:
    return {
        "sql": value.sql,
        "line": value.location.line if value.location else None,
        "milliseconds": round(value.milliseconds, 3),
        "rows": value.rows,
        "transaction": value.transaction,
        "locks": [{"table": one.table, "mode": one.words} for one in value.taken],
        "rewritten": list(value.rewritten),
        "error": value.error or None,
    }


def waived(value: Waived, place: Callable[[Path], str]) -> Json:
    """Describe a finding that somebody answers for."""
    waiver = value.waiver
    told = {"reason": waiver.reason, "until": waiver.until.isoformat(), "line": waiver.line}
    return finding(value.finding, place) | {"waiver": told}


def rebased(value: Rebased) -> Json:
    """Describe what a rebase moved; the list is empty where nothing had to be."""
    return {
        "onto": value.onto,
        "moved": [
            {"revision": one.revision, "path": str(one.path), "before": list(one.before), "after": list(one.after)}
            for one in value.moves
        ],
        "written": [str(one) for one in value.written],
    }


def error(value: TbcvError) -> Json:
    """Describe an error."""
    body: Json = {"code": value.code, "message": value.message, "hint": value.hint}
    if isinstance(value, UpgradeFailedError):
        body |= {
            "applied": list(value.applied),
            "failed": value.failed,
            "remaining": list(value.remaining),
            "backup": value.backup or None,
        }
    return {"error": body}
