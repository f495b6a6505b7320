"""What a hazard is."""

from __future__ import annotations

from dataclasses import dataclass

from tbcv.findings import Effect, Severity


@dataclass(frozen=True, slots=True)
class Hazard:
    """Something that may be observed of a revision and that a reviewer must judge.

    Attributes:
        code: Stable; also what a waiver names.
        severity: What it weighs where no effect was seen; a finding with an effect is an error,
            unless it is tolerable.
        effects: What it may do to those who use the database.
        title: A few words.
        observed: What the rehearsal sees.
        why: Why it hurts.
        hint: What to do instead, as a line.
        recipe: The safe way in Alembic's own Python: the functions of a revision, written for the
            tables ``customers`` and ``orders`` of `docs/hazards.md`.
        dialects: The engines on which it can be observed.
        tolerable: Whether its effect makes it no error: there is no other way to what is wanted, or what it leaves can
            be mended by hand.
    """

    code: str
    severity: Severity
    effects: tuple[Effect, ...]
    title: str
    observed: str
    why: str
    hint: str
    recipe: str
    dialects: tuple[str, ...] = ("sqlite", "postgresql")
    tolerable: bool = False
