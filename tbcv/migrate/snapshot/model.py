"""The schema snapshot as a value: a sorted text with a line per fact, its fingerprint, and the difference of two.

Column order does not count; everything else that an engine says about a schema does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


class Fact(NamedTuple):
    """One thing that is true of a schema.

    Attributes:
        subject: The object that it is about, as in ``table workflows``: a table has its columns, constraints,
            indexes and triggers; a view, a type, a sequence or a function stands for itself.
        line: The fact in words.
    """

    subject: str
    line: str


@dataclass(frozen=True)
class Snapshot:
    """A schema, as its engine prints it.

    Attributes:
        dialect: The engine: snapshots of two engines are never equal.
        facts: Sorted by their lines.
    """

    dialect: str
    facts: tuple[Fact, ...]

    @classmethod
    def of(cls, dialect: str, facts: Iterable[Fact]) -> Snapshot:
        """Make a snapshot of facts in any order."""
        return cls(dialect, tuple(sorted(set(facts), key=lambda fact: (fact.line, fact.subject))))

    @cached_property
    def text(self) -> str:
        """The facts, a line each."""
        return "".join(f"{fact.line}\n" for fact in self.facts)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of engine and text, in hexadecimal."""
        return hashlib.sha256(f"{self.dialect}\n{self.text}".encode()).hexdigest()

    @property
    def subjects(self) -> frozenset[str]:
        """The objects that the facts are about."""
        return frozenset(fact.subject for fact in self.facts)

    def only(self, keep: Callable[[str], bool]) -> Snapshot:
        """Return the snapshot without the objects that are not to be kept.

        Args:
            keep: Gets a subject, as in ``table workflows``.
        """
        return Snapshot(self.dialect, tuple(fact for fact in self.facts if keep(fact.subject)))


@dataclass(frozen=True, slots=True)
class Difference:
    """How a schema differs from what it should be.

    Attributes:
        missing: What it should have and has not.
        unexpected: What it has and should not have.
    """

    missing: tuple[Fact, ...]
    unexpected: tuple[Fact, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected)


def compare(expected: Snapshot, found: Snapshot) -> Difference:
    """Compare a schema with what it should be.

    Raises:
        ValueError: The snapshots are of two engines.
    """
    if expected.dialect != found.dialect:
        raise ValueError(f"a schema of {found.dialect} cannot equal one of {expected.dialect}")
    there, wanted = set(found.facts), set(expected.facts)
    return Difference(
        tuple(fact for fact in expected.facts if fact not in there),
        tuple(fact for fact in found.facts if fact not in wanted),
    )
