"""The revision graph on disk, read without executing a revision file.

A file is parsed, not imported: a history can be shown, checked and repaired while one of its files is broken, and
reading it costs no side effects.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from alembic.script.revision import (
    CycleDetected,
    MultipleHeads,
    RangeNotAncestorError,
    ResolutionError,
    RevisionError,
    RevisionMap,
)
from alembic.script.revision import Revision as AlembicRevision

from tbcv.errors import (
    BrokenHistoryError,
    ConfigurationError,
    MultipleHeadsError,
    RefusedError,
    RevisionNotFoundError,
)
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.syntax import ONE_THREAD, parse_source

BASE = "base"


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision file.

    Attributes:
        id: What the database records.
        parents: The revisions that it follows; empty at the base.
        dependencies: Revisions that must be applied before it without being its parents.
        labels: Branch labels.
        message: The first line of its docstring.
        doc: The whole docstring.
        path: The file.
    """

    id: str
    parents: tuple[str, ...]
    dependencies: tuple[str, ...]
    labels: tuple[str, ...]
    message: str
    doc: str
    path: Path


@dataclass(frozen=True)
class History:
    """The revisions of one environment and their order.

    Attributes:
        revisions: By id, in no particular order.
    """

    revisions: dict[str, Revision] = field(default_factory=dict)

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The revisions that no other follows."""
        return tuple(sorted(self._map.heads))

    @property
    def head(self) -> str:
        """The single head, or ``base`` in an empty history.

        Raises:
            MultipleHeadsError: There are several.
        """
        if len(self.heads) > 1:
            raise MultipleHeadsError(
                f"the history has {len(self.heads)} heads: {self.located(self.heads)}",
                hint="join them with `tbcv migrate merge`, or name one",
            )
        return self.heads[0] if self.heads else BASE

    def located(self, ids: Iterable[str]) -> str:
        """Name revisions together with their files, sorted: ``003 (003_orders.py), 004 (004_prices.py)``."""
        return ", ".join(f"{one} ({self.revisions[one].path.name})" for one in sorted(ids))

    def ordered(self) -> tuple[Revision, ...]:
        """Return all revisions from base to heads, parents before children."""
        return tuple(self.revisions[one.revision] for one in reversed(self._walk("heads", BASE)))

    def pending(self, current: Sequence[str], target: str = "heads") -> tuple[Revision, ...]:
        """Return the revisions between a database and a target above it, in the order of an upgrade.

        Args:
            current: The revisions recorded in the database; empty at base.
            target: ``head``, ``heads``, an id or the unambiguous beginning of one, ``+n``, ``id+n``, a label.

        Raises:
            RevisionNotFoundError: The target, or what the database records, is no revision of this history.
            MultipleHeadsError: ``head`` does not say which.
            RefusedError: The target lies below the database.
        """
        _require_name(target)
        steps = tuple(reversed(self._walk(target, tuple(current) or BASE)))
        if not steps and current and not self._reached(target) & set(current):
            raise RefusedError(
                f"revision {target} lies below the database, which is at {', '.join(current)}",
                hint=f"an upgrade only goes up; to go back: `tbcv migrate downgrade -r {target}`",
            )
        return tuple(self.revisions[step.revision] for step in steps)

    def reverted(self, current: Sequence[str], target: str) -> tuple[Revision, ...]:
        """Return the revisions between a database and a target below it, in the order of a downgrade.

        Args:
            current: The revisions recorded in the database.
            target: ``base``, an id or the beginning of one, ``-n``, ``id-n``.

        Raises:
            RevisionNotFoundError: As for `pending`.
            RefusedError: The target does not lie below the database.
            ConfigurationError: The target is empty.
        """
        _require_name(target)
        if not current:
            if target == BASE:
                return ()
            raise RefusedError(f"the database is at base, and {target} does not lie below it")
        steps = self._walk(tuple(current), target, downgrade=True)
        return tuple(self.revisions[step.revision] for step in steps)

    def resolve(self, target: str) -> tuple[str, ...]:
        """Return the ids that a name stands for; empty for ``base``.

        Raises:
            RevisionNotFoundError: It stands for nothing.
            MultipleHeadsError: ``head`` does not say which.
        """
        _require_name(target)
        if target[0] in "+-":
            raise RevisionNotFoundError(
                f"{target} is relative, and there is nothing here that it could count from",
                hint="name the revision; `tbcv migrate history` lists them all",
            )
        with _translated(target, self):
            found = self._map.get_revisions(target)
        return tuple(one.revision for one in found if isinstance(one, AlembicRevision))

    def between(self, limits: str, current: Sequence[str] = ()) -> tuple[Revision, ...]:
        """Return the revisions of a range, both ends included, children before parents.

        Args:
            limits: ``from:to``; an end left out is base or the heads; ``current`` is where the database is.
            current: The revisions recorded in the database.

        Raises:
            ConfigurationError: The range is malformed.
            RevisionNotFoundError: An end names no revision.
        """
        lower, colon, upper = limits.partition(":")
        if not colon or ":" in upper:
            raise ConfigurationError(f"{limits!r} is no range", hint="write FROM:TO, as in base:head or 003:current")
        here = tuple(one for one in current if one in self.revisions)
        # Alembic counts from a single name only.
        place = here[0] if len(here) == 1 else here or BASE
        top = place if upper == "current" else upper or "heads"
        bottom = place if lower == "current" else lower or BASE
        if top == BASE:
            return ()
        steps = self._walk(top, bottom, inclusive=True)
        return tuple(self.revisions[step.revision] for step in steps if step.revision in self.revisions)

    def ancestors(self, ids: Sequence[str]) -> frozenset[str]:
        """Return the revisions below the given ones, these included; unknown ids are passed over."""
        seen: set[str] = set()
        todo = [one for one in ids if one in self.revisions]
        while todo:
            one = self.revisions[todo.pop()]
            if one.id not in seen:
                seen.add(one.id)
                todo += [
                    *one.parents,
                    *(ancestor for name in one.dependencies for ancestor in self.resolve(name)),
                ]
        return frozenset(seen)

    def _reached(self, target: str) -> set[str]:
        """Return the ids at which an upgrade to a target ends."""
        if target != BASE and "+" in target:
            return {one.revision for one in self._walk(target, BASE)[:1]}
        return set(self.resolve(target))

    @cached_property
    def _map(self) -> RevisionMap:
        nodes = [
            AlembicRevision(one.id, one.parents or None, one.dependencies or None, one.labels or None)
            for one in self.revisions.values()
        ]
        return RevisionMap(lambda: nodes)

    def _walk(
        self,
        upper: str | tuple[str, ...],
        lower: str | tuple[str, ...],
        *,
        downgrade: bool = False,
        inclusive: bool = False,
    ) -> list[AlembicRevision]:
        """List revisions from upper to lower, upper first and lower excluded."""
        with _translated(lower if downgrade else upper, self):
            return list(
                self._map.iterate_revisions(
                    upper,
                    lower,
                    implicit_base=not downgrade,
                    inclusive=inclusive,
                    select_for_downgrade=downgrade,
                    assert_relative_length=True,
                )
            )


def read_history(environment: AlembicEnvironment) -> History:
    """Read all revision files of an environment.

    Raises:
        BrokenHistoryError: A file does not parse or declares no revision, an id stands twice, a parent is missing,
            or the revisions form a circle.
    """
    revisions: dict[str, Revision] = {}
    for path in revision_files(environment):
        revision = parse_revision(path)
        if revision.id in revisions:
            raise BrokenHistoryError(
                f"revision {revision.id} stands twice: in {revisions[revision.id].path.name} and in {path.name}",
                hint="give one of them another id",
            )
        revisions[revision.id] = revision
    _require_files(revisions)
    history = History(revisions)
    with ONE_THREAD, warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            _ = history.heads, history.ordered()
        except CycleDetected as error:
            raise BrokenHistoryError(
                f"the revisions form a circle: {history.located(error.revisions)}",
                hint="correct a down_revision or depends_on of them",
            ) from None
        except (RevisionError, Warning) as error:
            raise BrokenHistoryError(f"the history cannot be ordered: {error}") from None
    return history


def _require_files(revisions: Mapping[str, Revision]) -> None:
    """Refuse revisions that follow or need one without a file."""
    labels = {label for revision in revisions.values() for label in revision.labels}
    for revision in revisions.values():
        for parent in revision.parents:
            if parent not in revisions:
                raise BrokenHistoryError(
                    f"{revision.path.name} follows revision {parent}, for which there is no file",
                    hint="restore the file, or correct down_revision",
                )
        for needed in revision.dependencies:
            if needed not in revisions and needed not in labels:
                raise BrokenHistoryError(
                    f"{revision.path.name} depends on revision {needed}, for which there is no file",
                    hint="restore the file, or correct depends_on",
                )


def revision_files(environment: AlembicEnvironment) -> Iterator[Path]:
    """Give the files that may hold a revision, directory by directory and sorted by name in each."""
    for directory in environment.version_directories:
        yield from sorted(path for path in directory.glob("*.py") if path.name != "__init__.py")


def parse_revision(path: Path) -> Revision:
    """Read one file.

    Raises:
        BrokenHistoryError: It does not parse, or declares no revision.
    """
    try:
        tree = parse_source(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise BrokenHistoryError(
            f"{path.name} line {error.lineno} is not valid Python: {error.msg}",
            hint="repair the file",
            line=error.lineno,
        ) from None
    except (OSError, ValueError) as error:
        raise BrokenHistoryError(f"cannot read {path.name}: {error}") from None
    names = dict(_assignments(tree, path))
    if "revision" not in names:
        # Alembic would take the name of the file for an id where it can be one, and give up where it cannot.
        raise BrokenHistoryError(
            f"{path.name} declares no revision", hint="give it one, or move the file out of the directory of revisions"
        )
    if not isinstance(names["revision"], str) or not names["revision"]:
        raise BrokenHistoryError(f"{path.name} declares a revision that is no text: {names['revision']!r}")
    doc = ast.get_docstring(tree) or ""
    return Revision(
        id=names["revision"],
        parents=_tuple(names.get("down_revision"), path),
        dependencies=_tuple(names.get("depends_on"), path),
        labels=_tuple(names.get("branch_labels"), path),
        message=doc.strip().split("\n", 1)[0].strip(),
        doc=doc,
        path=path,
    )


def _assignments(tree: ast.Module, path: Path) -> Iterator[tuple[str, object]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name) and target.id in {
                "revision",
                "down_revision",
                "depends_on",
                "branch_labels",
            }:
                try:
                    yield target.id, ast.literal_eval(value)
                except ValueError:
                    raise BrokenHistoryError(
                        f"{path.name} line {node.lineno} computes {target.id}",
                        hint="write it as a literal",
                        line=node.lineno,
                    ) from None


def _tuple(value: object, path: Path) -> tuple[str, ...]:
    if value is None:
        return ()
    words = (value,) if isinstance(value, str) else value
    if not isinstance(words, tuple | list | set) or not all(isinstance(one, str) for one in words):
        raise BrokenHistoryError(f"{path.name} names revisions by what is no text: {value!r}")
    return tuple(words)


def _require_name(target: str) -> None:
    if not target.strip():
        raise ConfigurationError("the revision is empty", hint="name one, or head, base, +1 or -1")


class _translated:  # noqa: N801  # a context manager reads as a verb
    """Turns what Alembic's revision map raises into errors of tbcv."""

    def __init__(self, asked: str | tuple[str, ...], history: History) -> None:
        self._asked = asked if isinstance(asked, str) else ", ".join(asked)
        self._history = history

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, AssertionError):
            # Alembic's words for a range that runs the wrong way, or a name such as head+1.
            raise RevisionNotFoundError(
                f"{self._asked!r} does not lie where it was looked for", hint="`tbcv migrate history` shows the order"
            ) from None
        if error is None or not isinstance(error, RevisionError):
            return
        if isinstance(error, MultipleHeads):
            raise MultipleHeadsError(
                f"{self._asked} names several revisions: {self._history.located(error.heads)}",
                hint="name one of them, or join them with `tbcv migrate merge`",
            ) from None
        if isinstance(error, RangeNotAncestorError):
            raise RefusedError(
                f"revision {self._asked} does not lie in that direction from the database",
                hint="`tbcv migrate history` shows the order; upgrade goes towards head, downgrade towards base",
            ) from None
        if isinstance(error, ResolutionError):
            raise RevisionNotFoundError(
                f"no revision {error.argument!r}: {error.args[0]}",
                hint="`tbcv migrate history` lists them all",
            ) from None
        raise RevisionNotFoundError(
            f"{self._asked!r} names no revision here: {error.args[0]}",
            hint="`tbcv migrate history` lists them all",
        ) from None
