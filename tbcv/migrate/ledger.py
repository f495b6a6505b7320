"""The ledger: a line for every revision, with what was proven about it on scratch databases.

It is text, in the order of the chain, so that two branches that both add a revision conflict in git instead of
after the merge. At run time it is a shortcut and never a second truth: where it contradicts the revision files,
the files win.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tbcv.errors import BrokenHistoryError
from tbcv.findings import Finding, Location, Severity
from tbcv.migrate.checksum import checksum
from tbcv.migrate.history import History, Revision
from tbcv.migrate.location import AlembicEnvironment

_HEADING = """\
# A line per revision, in order. Written by `tbcv migrate create` and `tbcv migrate ledger --write`; not by hand.
# revision  parents  checksum  fingerprint on SQLite  fingerprint on PostgreSQL  rows  additive
"""
_LENGTH = 32
_UNKNOWN = "-"
_MARKS = {"additive": True, "breaking": False, _UNKNOWN: None}


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known about one revision.

    Attributes:
        id: The revision.
        parents: The revisions that it follows.
        checksum: Of the meaning of its file.
        fingerprints: Of the schema after it, per engine, shortened; an engine that was not at hand is absent.
        leaves_rows: Whether the chain up to it leaves rows in a database that was empty.
        additive: Whether the release before it may run on its schema; None where nobody has found out.
    """

    id: str
    parents: tuple[str, ...]
    checksum: str
    fingerprints: Mapping[str, str] = field(hash=False)
    leaves_rows: bool
    additive: bool | None = None

    @property
    def line(self) -> str:
        """The entry as it stands in the file."""
        words = (
            self.id,
            ",".join(self.parents) or _UNKNOWN,
            self.checksum,
            self.fingerprints.get("sqlite", _UNKNOWN),
            self.fingerprints.get("postgresql", _UNKNOWN),
            "rows" if self.leaves_rows else "empty",
            next(word for word, mark in _MARKS.items() if mark is self.additive),
        )
        return " ".join(words)

    def marked(self, marks: Mapping[str, bool]) -> Entry:
        """Return the entry with its mark ``additive`` filled in, if there is one and it has none."""
        return self if self.additive is not None else replace(self, additive=marks.get(self.id))


def short(fingerprint: str) -> str:
    """Shorten a fingerprint as the ledger does."""
    return fingerprint[:_LENGTH]


def ledger_path(environment: AlembicEnvironment) -> Path:
    """Return where the ledger of an environment is."""
    return environment.directory / "ledger"


def read_ledger(environment: AlembicEnvironment) -> dict[str, Entry]:
    """Read the ledger, in its order; empty where there is none.

    Raises:
        BrokenHistoryError: A line is not of the ledger's form, as after a merge that left its marks.
    """
    path = ledger_path(environment)
    return parse_ledger(path) if path.exists() else {}


def parse_ledger(path: Path) -> dict[str, Entry]:
    """Read a ledger, wherever it lies; raises as `read_ledger`."""
    entries: dict[str, Entry] = {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenHistoryError(f"{path.name} cannot be read: {error}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            entry = _parse(line, entries)
        except (ValueError, KeyError):
            raise BrokenHistoryError(
                f"line {number} of {path.name} is no entry of a ledger, or a second one of its revision",
                hint="write it anew with `tbcv migrate ledger --write`",
                line=number,
            ) from None
        entries[entry.id] = entry
    return entries


def write_ledger(environment: AlembicEnvironment, entries: Iterable[Entry]) -> Path:
    """Write the ledger: beside it first, then in its place."""
    path = ledger_path(environment)
    beside = path.with_suffix(".tmp")
    beside.write_text(_HEADING + "".join(f"{entry.line}\n" for entry in entries), encoding="utf-8", newline="\n")
    beside.replace(path)
    return path


def check_ledger(environment: AlembicEnvironment, history: History) -> tuple[Finding, ...]:
    """Compare the ledger with the revision files, without a database.

    Returns:
        Findings ``ledger-missing``, ``ledger-checksum``, ``ledger-parent``, ``ledger-unknown`` and ``ledger-order``.
    """
    entries = read_ledger(environment)
    order = [one.id for one in history.ordered()]
    findings = [_finding("unknown", f"revision {one} has no file", one) for one in entries if one not in order]
    for revision in history.ordered():
        findings += _check_entry(revision, entries.get(revision.id))
    known = [one for one in entries if one in order]
    if not findings and known != sorted(known, key=order.index):
        findings.append(_finding("order", "the entries do not stand in the order of the chain", None))
    return tuple(replace(one, location=one.location or Location(ledger_path(environment))) for one in findings)


def contradictions(environment: AlembicEnvironment, history: History) -> tuple[str, ...]:
    """Say how the ledger differs from the revision files; nothing where there is no ledger."""
    if not ledger_path(environment).exists():
        return ()
    try:
        return tuple(one.message for one in check_ledger(environment, history))
    except BrokenHistoryError as error:
        return (error.message,)


def proven_head(environment: AlembicEnvironment, history: History, dialect: str) -> str | None:
    """Return the fingerprint of head, if an empty database may be built from the models instead of by the chain.

    That is so if the ledger knows every revision as its file is, the chain leaves no rows behind, and there is a
    single head; what is then built must still have that fingerprint.
    """
    if len(history.heads) != 1 or check_ledger(environment, history):
        return None
    entries = read_ledger(environment)
    if any(entry.leaves_rows for entry in entries.values()):
        return None
    return entries[history.heads[0]].fingerprints.get(dialect)


def _parse(line: str, before: Mapping[str, Entry]) -> Entry:
    revision, parents, digest, sqlite, postgresql, rows, additive = line.split()
    if rows not in ("rows", "empty") or revision in before:
        raise ValueError(line)
    prints = {"sqlite": sqlite, "postgresql": postgresql}
    return Entry(
        revision,
        () if parents == _UNKNOWN else tuple(parents.split(",")),
        digest,
        {dialect: value for dialect, value in prints.items() if value != _UNKNOWN},
        rows == "rows",
        _MARKS[additive],
    )


def _check_entry(revision: Revision, entry: Entry | None) -> Sequence[Finding]:
    where = Location(revision.path)
    if entry is None:
        return [_finding("missing", f"revision {revision.id} has no entry", revision.id, where)]
    found = []
    if entry.checksum != checksum(revision.path.read_bytes()):
        found.append(_finding("checksum", f"{revision.path.name} was changed after its entry", revision.id, where))
    if entry.parents != revision.parents:
        found.append(_finding("parent", f"{revision.path.name} was given another parent", revision.id, where))
    return found


def _finding(code: str, message: str, revision: str | None, location: Location | None = None) -> Finding:
    return Finding(
        f"ledger-{code}",
        Severity.ERROR,
        f"ledger: {message}",
        "`tbcv migrate ledger --write`, unless the revision was released: then restore its file",
        revision,
        location,
    )
