"""The codes of what the gate finds in files, in one table; those of rehearsals are in `tbcv.gate.judgement`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tbcv.findings import Effect, Finding, Location, Severity


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding.

    Attributes:
        code: Stable, in lower case with hyphens.
        severity: What a finding of it weighs.
        meaning: When it is found, in words that follow the code.
        hint: What to do about it.
        effects: What it does to those who use the database.
    """

    code: str
    severity: Severity
    meaning: str
    hint: str
    effects: tuple[Effect, ...] = ()


_RESTORE = "restore the file as it was released, and change the schema with a new revision"
_WRITE = "`tbcv migrate ledger --write`, unless the revision was released: then restore its file"

CODES: tuple[Code, ...] = (
    Code("revision-unreadable", Severity.ERROR, "a revision file is no Python, or declares no literal", "repair it"),
    Code("revision-twice", Severity.ERROR, "two files declare the same revision", "give one of them another id"),
    Code("parent-missing", Severity.ERROR, "a revision follows one that has no file", "restore it, or correct the id"),
    Code("history-circular", Severity.ERROR, "revisions follow each other in a circle", "correct a down_revision"),
    Code(
        "multiple-heads",
        Severity.ERROR,
        "more than one revision is the last",
        "`tbcv migrate rebase` puts yours on top, `tbcv migrate merge` joins them",
    ),
    Code(
        "multiple-bases", Severity.ERROR, "more than one revision is the first", "give it the parent that it builds on"
    ),
    Code(
        "merge-heads",
        Severity.ERROR,
        "merged with the base there would be more than one head",
        "merge the base into your branch, then `tbcv migrate rebase`",
    ),
    Code(
        "merge-conflict",
        Severity.ERROR,
        "your side and the base changed the same column or object since they parted",
        "merge the base into your branch, see what its revision did, then `tbcv migrate rebase`",
    ),
    Code(
        "merge-overlap",
        Severity.WARNING,
        "your side and the base changed the same table since they parted",
        "see that the two changes get along",
    ),
    Code("released-edited", Severity.ERROR, "a released revision means something else now", _RESTORE),
    Code("released-removed", Severity.ERROR, "a released revision has no file any more", _RESTORE),
    Code("released-renamed", Severity.ERROR, "a released revision has another id or file name", _RESTORE),
    Code("released-reparented", Severity.ERROR, "a released revision follows another one than before", _RESTORE),
    Code("ledger-unreadable", Severity.ERROR, "the ledger is none, as after a merge that left its marks", _WRITE),
    Code("ledger-missing", Severity.ERROR, "a revision has no line in the ledger", _WRITE),
    Code("ledger-unknown", Severity.ERROR, "a line of the ledger has no file", _WRITE),
    Code("ledger-checksum", Severity.ERROR, "a revision file was changed after its line was written", _WRITE),
    Code("ledger-parent", Severity.ERROR, "a revision follows another one than its line says", _WRITE),
    Code("ledger-order", Severity.ERROR, "the lines do not stand in the order of the chain", _WRITE),
    Code(
        "ledger-fingerprint",
        Severity.ERROR,
        "the chain builds another schema than the ledger notes",
        "`tbcv migrate ledger --write`, once you know why",
    ),
    Code(
        "models-drift",
        Severity.ERROR,
        "the models and the migrations build different schemas",
        '`tbcv migrate create "what changes"` writes the revision',
    ),
    Code(
        "schema-drift",
        Severity.ERROR,
        "the committed schema is not what the migrations build",
        "`tbcv migrate ledger --write` writes it anew",
    ),
    Code(
        "schema-missing",
        Severity.ERROR,
        "there is no committed schema for an engine",
        "`tbcv migrate ledger --write` writes it",
    ),
    Code(
        "chain-fails",
        Severity.ERROR,
        "a revision fails on an empty database",
        "run `tbcv migrate upgrade` on an empty database to see it",
        (Effect.FAILS,),
    ),
    Code(
        "breaks-previous-release",
        Severity.ERROR,
        "what the release before does fails on the new schema",
        "add first, release code that uses the old and the new, and remove in a later revision",
        (Effect.BREAKS_PREVIOUS_RELEASE,),
    ),
    Code(
        "narrows-accepted-values",
        Severity.WARNING,
        "the new schema refuses values that the old one took",
        "see that the release before writes no such values",
        (Effect.BREAKS_PREVIOUS_RELEASE,),
    ),
    Code(
        "waiver-malformed",
        Severity.ERROR,
        "a waiver is not of the form `tbcv: allow CODE because REASON until YYYY-MM-DD`",
        "complete it",
    ),
    Code("waiver-without-reason", Severity.ERROR, "a waiver says not why", "say why after `because`"),
    Code("waiver-expired", Severity.ERROR, "the day of a waiver has passed", "do what it put off, or decide anew"),
    Code("waiver-unused", Severity.ERROR, "a waiver allows what was not found", "take it out"),
)

_BY_NAME = {one.code: one for one in CODES}


def found(
    code: str,
    message: str,
    where: Path | None = None,
    line: int | None = None,
    *,
    revision: str | None = None,
    dialect: str | None = None,
    hint: str = "",
) -> Finding:
    """Make a finding of a code of the table."""
    known = _BY_NAME[code]
    location = Location(where, line) if where else None
    return Finding(
        code, known.severity, message, hint or known.hint, revision, location, known.effects, dialect=dialect
    )
