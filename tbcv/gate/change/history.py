"""Checks 1 and 2: one line of revisions, also once merged with the base, and nothing released was touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tbcv.errors import BrokenHistoryError
from tbcv.findings import Finding
from tbcv.gate.change.base import Base, Released
from tbcv.gate.change.codes import found
from tbcv.gate.change.files import RevisionFiles, ancestors, by_name, ends, first_difference, line_of, meaning, needs
from tbcv.gate.change.touches import Touch, touches
from tbcv.migrate.checksum import checksum
from tbcv.migrate.history import History, Revision
from tbcv.migrate.ledger import check_ledger, ledger_path
from tbcv.migrate.location import AlembicEnvironment


def check_history(files: RevisionFiles, base: Base) -> tuple[Finding, ...]:
    """Look for what keeps the revisions from being one line, here and merged with the base.

    Args:
        files: The branch.
        base: What was there before.
    """
    findings = [*files.findings, *_orphans(files.revisions), *_circles(files.revisions)]
    if findings:
        # Heads of what is no graph mean nothing.
        return tuple(findings)
    new = base.new(files)
    return (
        *_bases(files.revisions, new),
        *_heads(files.revisions, new),
        *_merged(files.revisions, new, base),
        *_conflicts(files.revisions, new, base),
    )


def check_released(environment: AlembicEnvironment, files: RevisionFiles, base: Base) -> tuple[Finding, ...]:
    """Look for released revisions that are no longer what was released."""
    findings: list[Finding] = []
    broken = {one.location.path.name for one in files.findings if one.location}
    for released in base.released.values():
        here = files.revisions.get(released.id)
        if here is not None:
            findings += _changed(here, released)
        elif released.file not in broken or not released.file:
            findings.append(_gone(environment, files, released, base))
    return tuple(findings)


def check_lines(environment: AlembicEnvironment, files: RevisionFiles) -> tuple[Finding, ...]:
    """Compare the ledger with the files; the history must be sound."""
    try:
        return check_ledger(environment, History(dict(files.revisions)))
    except BrokenHistoryError as error:
        return (found("ledger-unreadable", error.message, ledger_path(environment), error.line),)


def _orphans(revisions: Mapping[str, Revision]) -> Iterator[Finding]:
    labels = {label for one in revisions.values() for label in one.labels}
    for one in by_name(revisions.values()):
        for parent in one.parents:
            if parent not in revisions:
                message = f"{one.path.name} follows revision {parent}, for which there is no file"
                yield _at(one, "parent-missing", message)
        for needed in one.dependencies:
            if needed not in revisions and needed not in labels:
                message = f"{one.path.name} depends on revision {needed}, for which there is no file"
                yield found("parent-missing", message, one.path, line_of(one.path, "depends_on"), revision=one.id)


def _circles(revisions: Mapping[str, Revision]) -> Iterator[Finding]:
    """Peel off what follows nothing, again and again; what is left goes in a circle or hangs on one."""
    left = dict(revisions)
    while free := [one for one in left.values() if not needs(one) & left.keys()]:
        for one in free:
            del left[one.id]
    # What only hangs on the circle is followed by nothing that is left.
    while loose := [one for one in left if not any(one in needs(other) for other in left.values())]:
        for name in loose:
            del left[name]
    if left:
        members = ", ".join(sorted(left))
        for one in by_name(left.values()):
            yield _at(one, "history-circular", f"revision {one.id} follows itself: {members} form a circle")


def _bases(revisions: Mapping[str, Revision], new: tuple[Revision, ...]) -> Iterator[Finding]:
    bases = [one for one in by_name(revisions.values()) if not one.parents]
    if len(bases) > 1:
        names = ", ".join(one.id for one in bases)
        yield from (
            _at(one, "multiple-bases", f"revision {one.id} follows nothing, so that there are {len(bases)}: {names}")
            for one in _mine(bases, new)
        )


def _heads(revisions: Mapping[str, Revision], new: tuple[Revision, ...]) -> Iterator[Finding]:
    heads = [revisions[one] for one in ends(revisions.values())]
    if len(heads) > 1:
        names = ", ".join(one.id for one in heads)
        yield from (
            _at(
                one,
                "multiple-heads",
                f"nothing follows revision {one.id}, so that there are {len(heads)} heads: {names}",
            )
            for one in _mine(heads, new)
        )


def _mine(some: list[Revision], new: tuple[Revision, ...]) -> list[Revision]:
    """Return those that are new, or the last one where none is: somebody must be told."""
    return [one for one in some if one in new] or some[-1:]


def _merged(revisions: Mapping[str, Revision], new: tuple[Revision, ...], base: Base) -> Iterator[Finding]:
    if not (new and base.theirs) or len(ends(revisions.values())) > 1:
        return
    heads = ends([*revisions.values(), *base.theirs])
    if len(heads) > 1:
        message = f"merged with {base.name} there would be {len(heads)} heads: {', '.join(heads)}"
        mine = {one.id for one in new}
        yield from (_at(one, "merge-heads", message) for one in new if not mine & {*one.parents})


def _conflicts(revisions: Mapping[str, Revision], new: tuple[Revision, ...], base: Base) -> Iterator[Finding]:
    """Compare what the new revisions touch with what the base got beside them, whether it was merged or not."""
    known = {**revisions, **{one.id: one for one in base.theirs}}
    mine = {one.id for one in new}
    if not mine:
        return
    built_on = ancestors(known, mine)
    beside = [one for one in by_name(known.values()) if one.id not in built_on]
    for one in new:
        for touch in touches(one.path):
            for other in beside:
                yield from _compare(one, touch, other, touches(other.path))


def _compare(one: Revision, touch: Touch, other: Revision, theirs: tuple[Touch, ...]) -> Iterator[Finding]:
    for their in (theirs_of for theirs_of in theirs if theirs_of.table == touch.table):
        whole = (not touch.what and not touch.rows) or (not their.what and not their.rows)
        same = touch.what and touch.what == their.what
        what = f"{touch.table}.{touch.what}" if same else f"table {touch.table}"
        code = "merge-conflict" if same or whole else "merge-overlap"
        message = f"{what} is also changed by revision {other.id} of the base ({other.path.name} line {their.line})"
        yield found(code, message, one.path, touch.line, revision=one.id)
        return


def _changed(here: Revision, released: Released) -> Iterator[Finding]:
    source = here.path.read_bytes()
    if here.parents != released.parents:
        before, after = ", ".join(released.parents) or "nothing", ", ".join(here.parents) or "nothing"
        yield _at(here, "released-reparented", f"{here.path.name} was released following {before}, and now {after}")
        edited = bool(released.source) and meaning(source) != meaning(released.source)
    else:
        edited = checksum(source) != released.checksum
    if edited:
        line = first_difference(released.source, source) if released.source else None
        message = f"{here.path.name} was changed after it was released"
        yield found("released-edited", message, here.path, line, revision=here.id)
    if released.file and released.file != here.path.name:
        message = f"{released.file} was released under that name, and is now {here.path.name}"
        yield found("released-renamed", message, here.path, line_of(here.path, "revision"), revision=here.id)


def _gone(environment: AlembicEnvironment, files: RevisionFiles, released: Released, base: Base) -> Finding:
    known = meaning(released.source) if released.source else ""
    for one in files.revisions.values():
        if one.id in base.released or not known:
            continue
        if one.path.name == released.file or meaning(one.path.read_bytes()) == known:
            message = f"{one.path.name} was released as revision {released.id}, and now declares {one.id}"
            return found("released-renamed", message, one.path, line_of(one.path, "revision"), revision=one.id)
    where = Path(environment.version_directories[0], released.file) if released.file else ledger_path(environment)
    return found("released-removed", f"released revision {released.id} has no file", where, revision=released.id)


def _at(revision: Revision, code: str, message: str) -> Finding:
    return found(code, message, revision.path, line_of(revision.path, "down_revision"), revision=revision.id)
