"""Everything that the gate can find, as rules: what documents describe and what SARIF lists."""

from __future__ import annotations

from dataclasses import dataclass

from tbcv.findings import Effect, Severity
from tbcv.gate.change.codes import CODES
from tbcv.gate.judgement.hazards import HAZARDS


@dataclass(frozen=True, slots=True)
class Rule:
    """One code and what there is to say about it.

    Attributes:
        code: What findings carry, and waivers name.
        severity: What a finding of it weighs by default.
        title: A few words.
        meaning: When it is found.
        why: Why it hurts; empty where that needs no words.
        hint: What to do instead.
        recipe: The safe way as the functions of a revision; may be empty.
        effects: What it may do to those who use the database.
    """

    code: str
    severity: Severity
    title: str
    meaning: str
    why: str
    hint: str
    recipe: str
    effects: tuple[Effect, ...]


def rules() -> tuple[Rule, ...]:
    """Return the rules in the order of the checks."""
    return (
        *(
            Rule(one.code, one.severity, _title(one.code), _sentence(one.meaning), "", one.hint, "", one.effects)
            for one in CODES
        ),
        *(
            Rule(one.code, one.severity, one.title, _sentence(one.observed), one.why, one.hint, one.recipe, one.effects)
            for one in HAZARDS
        ),
    )


def _title(code: str) -> str:
    return code.replace("-", " ").capitalize()


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "."
