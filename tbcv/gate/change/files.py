"""The revision files of a tree, read so that what is wrong with one becomes a finding at its line."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tbcv.errors import BrokenHistoryError
from tbcv.findings import Finding
from tbcv.gate.change.codes import found
from tbcv.migrate.checksum import checksum
from tbcv.migrate.history import Revision, parse_revision, revision_files
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.syntax import parse_source


@dataclass(frozen=True, slots=True)
class RevisionFiles:
    """What the revision files of a tree declare.

    Attributes:
        revisions: By id, those that could be read.
        findings: What could not be read, or stands twice.
    """

    revisions: Mapping[str, Revision] = field(hash=False)
    findings: tuple[Finding, ...] = ()


def read_files(environment: AlembicEnvironment) -> RevisionFiles:
    """Read all revision files of an environment."""
    revisions: dict[str, Revision] = {}
    findings: list[Finding] = []
    for path in revision_files(environment):
        try:
            revision = parse_revision(path)
        except BrokenHistoryError as error:
            findings.append(found("revision-unreadable", error.message, path, error.line, hint=error.hint))
            continue
        if revision.id in revisions:
            other = revisions[revision.id].path.name
            message = f"{path.name} and {other} both declare revision {revision.id}"
            findings.append(found("revision-twice", message, path, line_of(path, "revision"), revision=revision.id))
        else:
            revisions[revision.id] = revision
    return RevisionFiles(revisions, tuple(findings))


def line_of(path: Path, name: str) -> int | None:
    """Return the line on which a module assigns a name; None where it does not."""
    try:
        node = _assignment(parse_source(path.read_bytes()), name)
    except (OSError, SyntaxError, ValueError):
        return None
    return node.lineno if node else None


def meaning(source: bytes) -> str:
    """Return the checksum of a revision file without its name and what it follows, which are matters of their own."""
    tree = parse_source(source)
    lines = source.splitlines(keepends=True)
    for name in ("revision", "down_revision"):
        if node := _assignment(tree, name):
            last = node.end_lineno or node.lineno
            lines[node.lineno - 1 : last] = [b"\n"] * (last - node.lineno + 1)
    return checksum(b"".join(lines))


def first_difference(before: bytes, after: bytes) -> int:
    """Return the first line of a text that differs from what it was, counted from 1."""
    old, new = before.splitlines(), after.splitlines()
    for number, (one, other) in enumerate(zip(old, new, strict=False), 1):
        if one.rstrip() != other.rstrip():
            return number
    return max(1, min(len(old), len(new)))


def by_name(revisions: Iterable[Revision]) -> tuple[Revision, ...]:
    """Sort revisions by their files."""
    return tuple(sorted(revisions, key=lambda one: one.path.name))


def in_order(revisions: Mapping[str, Revision]) -> tuple[Revision, ...]:
    """Sort revisions such that parents stand before children; those of a circle come last, sorted by their files."""
    left = {one.id: one for one in by_name(revisions.values())}
    ordered: list[Revision] = []
    while free := next((one for one in left.values() if not needs(one) & left.keys()), None):
        ordered.append(left.pop(free.id))
    return (*ordered, *left.values())


def needs(revision: Revision) -> set[str]:
    """Return what a revision follows or depends on."""
    return {*revision.parents, *revision.dependencies}


def ancestors(known: Mapping[str, Revision], ids: Iterable[str]) -> set[str]:
    """Return the revisions below the given ones, these included; unknown ids are passed over."""
    seen: set[str] = set()
    todo = list(ids)
    while todo:
        one = known.get(todo.pop())
        if one is not None and one.id not in seen:
            seen.add(one.id)
            todo += needs(one)
    return seen


def ends(revisions: Iterable[Revision]) -> tuple[str, ...]:
    """Return those of some revisions that none of them follows."""
    some = list(revisions)
    followed = {parent for one in some for parent in one.parents}
    return tuple(sorted(one.id for one in some if one.id not in followed))


def _assignment(tree: ast.Module, name: str) -> ast.stmt | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(one, ast.Name) and one.id == name for one in targets):
            return node
    return None


def line_of_error(path: Path, error: BaseException) -> int | None:
    """Return the innermost line of a file that an error passed through."""
    line = None
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        trace = one.__traceback__
        while trace is not None:
            if Path(trace.tb_frame.f_code.co_filename) == path:
                line = trace.tb_lineno
            trace = trace.tb_next
        one = one.__cause__ or one.__context__
    return line
