"""`tbcv migrate rebase`: the branch's own revisions put on top of what the base released meanwhile.

A released revision is never touched. What is written is tried in a copy first, and then all of it is put in place,
or nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import anyio

from tbcv.engine.scratch import ScratchDatabases
from tbcv.errors import BrokenHistoryError, RefusedError, RevisionInvalidError, UpgradeFailedError
from tbcv.gate.change.base import Base, BaseKind, opened_base
from tbcv.gate.change.files import RevisionFiles, ends, read_files
from tbcv.gate.releases.compatibility import additive_marks
from tbcv.migrate.draft import drafted, put_in_place
from tbcv.migrate.history import Revision, read_history
from tbcv.migrate.ledger import ledger_path, read_ledger
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.measure import measure
from tbcv.migrate.syntax import parse_source

_REVISES = re.compile(rb"^(?P<words>\s*Revises:[ \t]*)[^\r\n]*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Move:
    """One revision that was given another parent.

    Attributes:
        revision: Its id.
        path: Its file.
        before: What it followed.
        after: What it follows now.
    """

    revision: str
    path: Path
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rebased:
    """What a rebase did.

    Attributes:
        onto: The last released revision.
        moves: The revisions that were moved, in their new order; empty where all stood right.
        written: The files that were written.
    """

    onto: str
    moves: tuple[Move, ...]
    written: tuple[Path, ...] = ()


async def rebase(environment: AlembicEnvironment, scratch: ScratchDatabases, base: str | None = None) -> Rebased:
    """Put the revisions that are not released on top of those that are.

    Args:
        environment: The branch, with the base merged into it.
        scratch: Where the new chain is tried.
        base: What is released: a git ref, a ledger file or a revision; None finds it.

    Raises:
        RefusedError: The base is not known, has revisions that the branch has not, or has several heads.
        BrokenHistoryError: A file cannot be read.
        RevisionInvalidError: The chain does not run in its new order; nothing was changed.
        ConfigurationError: The base cannot be found.
    """
    files = await anyio.to_thread.run_sync(read_files, environment)
    if files.findings:
        raise BrokenHistoryError(files.findings[0].message, hint=files.findings[0].hint)
    with opened_base(environment, files, base) as found:
        onto, moves = _plan(files, found)
        if not moves:
            return Rebased(onto, ())
        return Rebased(onto, moves, await _carry_out(environment, scratch, moves, found))


def _plan(files: RevisionFiles, base: Base) -> tuple[str, tuple[Move, ...]]:
    """Decide which revision follows which: what is released, then the own ones in a line."""
    if base.kind is BaseKind.NOTHING:
        raise RefusedError(f"nobody knows what is released: {base.description}", hint="name it with --base")
    if base.theirs:
        names = ", ".join(one.id for one in base.theirs)
        raise RefusedError(
            f"{base.name} has revisions that this branch has not: {names}",
            hint=f"`git merge {base.name}` first; the conflict in the ledger goes with the rebase",
        )
    released = [one for one in files.revisions.values() if one.id in base.released]
    heads = ends(released)
    if len(heads) > 1:
        raise RefusedError(
            f"{base.name} has {len(heads)} heads itself: {', '.join(heads)}", hint="join them there first"
        )
    onto = heads[0] if heads else "base"
    own = base.new(files)
    if _stands_right(own, onto, released):
        return onto, ()
    moves = []
    parents: tuple[str, ...] = heads
    for one in own:
        if one.parents != parents:
            moves.append(Move(one.id, one.path, one.parents, parents))
        parents = (one.id,)
    return onto, tuple(moves)


def _stands_right(own: tuple[Revision, ...], onto: str, released: Collection[Revision]) -> bool:
    """Tell whether the own revisions have one head already and build on nothing below the last released one."""
    below = {one.id for one in released} - {onto}
    return len(ends(own)) <= 1 and not any(below & {*one.parents} for one in own) and not _floating(own, onto)


def _floating(own: tuple[Revision, ...], onto: str) -> bool:
    return any(not one.parents for one in own) and onto != "base"


async def _carry_out(
    environment: AlembicEnvironment, scratch: ScratchDatabases, moves: tuple[Move, ...], base: Base
) -> tuple[Path, ...]:
    written = {one.path: reparented(one.path.read_bytes(), one.after) for one in moves}
    with drafted(environment) as draft:
        for path, contents in written.items():
            _place(path, environment, draft).write_bytes(contents)
        if ledger_path(environment).exists() or base.has_ledger:
            _mend_ledger(draft, base)
            written |= await _measured(environment, draft, scratch, [one.revision for one in moves])
        else:
            _ = read_history(draft).head
    await anyio.to_thread.run_sync(put_in_place, written)
    return tuple(written)


async def _measured(
    environment: AlembicEnvironment, draft: AlembicEnvironment, scratch: ScratchDatabases, moved: Collection[str]
) -> dict[Path, bytes]:
    try:
        measured = (await measure(draft, scratch, anew=moved)).marked(await additive_marks(draft, scratch, moved))
    except UpgradeFailedError as error:
        raise RevisionInvalidError(
            f"the chain does not run in its new order: {error.message}",
            hint="nothing was changed; your revision and the base's contradict each other",
        ) from error
    made = {one.relative_to(draft.directory): one.read_bytes() for one in measured.write(draft)}
    return {environment.directory / name: contents for name, contents in made.items()}


def _mend_ledger(draft: AlembicEnvironment, base: Base) -> None:
    """Begin with the base's ledger where a merge left its marks in this one."""
    try:
        read_ledger(draft)
    except BrokenHistoryError:
        known = ledger_path(base.tree) if base.tree else None
        if known is not None and known.exists():
            ledger_path(draft).write_bytes(known.read_bytes())
        else:
            ledger_path(draft).unlink()


def _place(path: Path, environment: AlembicEnvironment, draft: AlembicEnvironment) -> Path:
    for own, copy in zip(environment.version_directories, draft.version_directories, strict=True):
        if path.is_relative_to(own):
            return copy / path.relative_to(own)
    raise AssertionError(path)


def reparented(source: bytes, parents: tuple[str, ...]) -> bytes:
    """Return a revision file that follows other revisions: its ``down_revision``, and the line of its docstring.

    Args:
        source: The file.
        parents: What it is to follow.
    """
    tree = parse_source(source)
    lines = source.splitlines(keepends=True)
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id == "down_revision" and isinstance(value, ast.expr):
            _replace(lines, value, _spelled(parents))
    first = tree.body[0] if tree.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        last = first.end_lineno or first.lineno
        doc = b"".join(lines[first.lineno - 1 : last])
        names = ", ".join(parents).encode()
        lines[first.lineno - 1 : last] = [_REVISES.sub(lambda match: match["words"].rstrip() + b" " + names, doc)]
    return b"".join(lines)


def _spelled(parents: tuple[str, ...]) -> bytes:
    names = ", ".join(f'"{one}"' for one in parents)
    return (f"({names})" if len(parents) > 1 else names or "None").encode()


def _replace(lines: list[bytes], value: ast.expr, text: bytes) -> None:
    """Put a text in the place of an expression, and keep the number of lines, on which others rely."""
    start, end = value.lineno - 1, (value.end_lineno or value.lineno) - 1
    kept = lines[end][value.end_col_offset or 0 :]
    lines[start] = lines[start][: value.col_offset] + text + kept
    for number in range(start + 1, end + 1):
        lines[number] = b""
