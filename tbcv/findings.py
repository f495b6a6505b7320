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
    """

    code: str
    severity: Severity
    message: str
    hint: str = ""
    revision: str | None = None
    location: Location | None = None
