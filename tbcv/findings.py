"""The one currency for "something is wrong here": a value, never an exception."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file.

    Attributes:
        path: The file.
        line: Counted from 1; None where the whole file is meant.
    """

    path: Path
    line: int | None = None


class Effect(StrEnum):
    """What a change does to those who use the database while it runs, or afterwards."""

    BLOCKS_READS = "blocks_reads"
    BLOCKS_WRITES = "blocks_writes"
    REWRITES_TABLE = "rewrites_table"
    FULL_SCAN_UNDER_LOCK = "full_scan_under_lock"
    LOSES_DATA = "loses_data"
    BREAKS_PREVIOUS_RELEASE = "breaks_previous_release"
    IRREVERSIBLE = "irreversible"
    FAILS = "fails"
    NOT_RERUNNABLE = "not_rerunnable"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen that a finding rests on; what does not apply is empty.

    Attributes:
        statement: The SQL that did it.
        lock: The mode of the lock, as the engine calls it.
        relation: The table or index.
        rows: How many rows were concerned.
        milliseconds: How long it took on the scratch database.
    """

    statement: str = ""
    lock: str = ""
    relation: str = ""
    rows: int | None = None
    milliseconds: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: Stable, in lower case with hyphens.
        severity: How much it weighs.
        message: What is wrong, as a line.
        hint: What to do about it, as a line; may be empty.
        revision: The revision that it is about, if it is about one.
        location: Where, if that is known.
        effects: What it does to those who use the database.
        dialect: The engine on which it was seen, if it was seen on one.
        evidence: What was seen.
        depends_on: What only production knows and the finding depends on, such as the size of a table.
    """

    code: str
    severity: Severity
    message: str
    hint: str = ""
    revision: str | None = None
    location: Location | None = None
    effects: tuple[Effect, ...] = ()
    dialect: str | None = None
    evidence: Evidence | None = None
    depends_on: str = ""
