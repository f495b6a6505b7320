"""The base: what was released already, and therefore what is new.

A base is given as a git ref, as a ledger file or as a revision. Released is what the branch and the base have in
common: what the base got after they parted is neither new here nor missing here, and is kept apart.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from tbcv.errors import BrokenHistoryError, ConfigurationError
from tbcv.gate.change.files import RevisionFiles, ancestors, in_order, read_files
from tbcv.gate.change.repository import Repository, find_repository
from tbcv.migrate.checksum import checksum
from tbcv.migrate.history import Revision
from tbcv.migrate.ledger import ledger_path, parse_ledger
from tbcv.migrate.location import AlembicEnvironment, read_locations

_DEFAULTS = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
_TAKES = "--base takes a git ref, a ledger file or a revision"
_DEEPEN = "the clone is shallow: fetch the whole history (actions/checkout: `fetch-depth: 0`)"


class BaseKind(StrEnum):
    """As what a base was given."""

    GIT = "git"
    LEDGER = "ledger"
    REVISION = "revision"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Released:
    """A revision as the base has it.

    Attributes:
        id: The revision.
        parents: What it follows there.
        checksum: Of what its file means there.
        file: The file's name; empty where only a ledger is known.
        source: What the file holds; empty where only a ledger is known.
    """

    id: str
    parents: tuple[str, ...]
    checksum: str
    file: str = ""
    source: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Base:
    """What was there before the change.

    Attributes:
        kind: As what it was given.
        name: What was given, or found where nothing was.
        description: The base in words, for the report.
        root: The directory that files are named relative to: that of the repository, else that of the ini file.
        released: By id, in no particular order.
        theirs: What the base got since the branch left it, and the branch has not.
        commit: The commit of which `released` is; empty outside of git.
        tip: The commit that was given; empty outside of git.
        tree: The environment as it is at `commit`, on disk while the base is open; None outside of git.
        checkout: All files as they are at `commit`, if they were asked for.
        has_ledger: Whether the base keeps a ledger.
    """

    kind: BaseKind
    name: str
    description: str
    root: Path
    released: Mapping[str, Released] = field(hash=False)
    theirs: tuple[Revision, ...] = ()
    commit: str = ""
    tip: str = ""
    tree: AlembicEnvironment | None = None
    checkout: Path | None = None
    has_ledger: bool = False

    def new(self, files: RevisionFiles) -> tuple[Revision, ...]:
        """Return the revisions that are not released, parents before children where that order exists."""
        return tuple(one for one in in_order(files.revisions) if one.id not in self.released)


@contextmanager
def opened_base(
    environment: AlembicEnvironment, files: RevisionFiles, given: str | None, *, whole: bool = False
) -> Iterator[Base]:
    """Find the base and keep its files on disk while the block runs.

    Args:
        environment: The branch.
        files: Its revision files.
        given: A revision, a ledger file or a git ref; None takes where the branch left the main one.
        whole: Whether all files of the base are wanted, as far as there is a commit that has them.

    Raises:
        ConfigurationError: It is none of these, or git cannot say.
    """
    repository = find_repository(environment.config_file.parent)
    root = repository.root if repository else environment.config_file.parent
    if given is not None and (ids := _released_by(files, given)) is not None:
        yield _of_revision(files, given, ids, root)
    elif given is not None and Path(given).is_file():
        yield _of_ledger(Path(given), root)
    else:
        with tempfile.TemporaryDirectory(prefix="tbcv-base-") as directory:
            if repository is None:
                yield _outside_of_git(environment, files, given, root)
            else:
                base = _of_git(environment, files, given, repository, Path(directory).resolve())
                yield _checked_out(base, repository, Path(directory, "whole")) if whole and base.commit else base


def _released_by(files: RevisionFiles, name: str) -> frozenset[str] | None:
    """Return the revisions up to a named one; None where the name is no revision's."""
    match name:
        case "base":
            return frozenset()
        case "head" | "heads":
            return frozenset(files.revisions)
        case _:
            return frozenset(ancestors(files.revisions, [name])) if name in files.revisions else None


def _of_revision(files: RevisionFiles, given: str, ids: frozenset[str], root: Path) -> Base:
    released = {one: _released(files.revisions[one]) for one in ids}
    return Base(BaseKind.REVISION, given, f"revision {given}: what follows it is new", root, released)


def _of_ledger(path: Path, root: Path) -> Base:
    try:
        entries = parse_ledger(path)
    except BrokenHistoryError as error:
        raise ConfigurationError(
            f"--base {path} is a file and no ledger: {error.message}",
            hint=_TAKES,
        ) from None
    released = {one.id: Released(one.id, one.parents, one.checksum) for one in entries.values()}
    return Base(BaseKind.LEDGER, str(path), f"the ledger {path}", root, released, has_ledger=True)


def _outside_of_git(environment: AlembicEnvironment, files: RevisionFiles, given: str | None, root: Path) -> Base:
    if given is not None:
        raise ConfigurationError(
            f"--base {given} is no revision and no file, and {root} is in no git repository",
            hint=_unknown(environment, files),
        )
    return _nothing(files, root, f"none: {root} is in no git repository, so every revision counts as released")


def _of_git(
    environment: AlembicEnvironment, files: RevisionFiles, given: str | None, repository: Repository, directory: Path
) -> Base:
    root = repository.root
    tip, name = _tip(repository, given, _unknown(environment, files))
    if not tip:
        return _nothing(files, root, "none: there is no main branch here, so every revision counts as released")
    commit = _parted(repository, tip, name)
    tree = _export(repository, environment, commit, directory / "base")
    before = read_files(tree).revisions if tree else {}
    after = before
    if tip != commit:
        tip_tree = _export(repository, environment, tip, directory / "tip")
        after = read_files(tip_tree).revisions if tip_tree else {}
    # What both sides have is released, though they may have got it by different commits.
    common = {name: one for name, one in after.items() if name in files.revisions and name not in before}
    released = {name: _released(one) for name, one in {**before, **common}.items()}
    theirs = tuple(one for name, one in after.items() if name not in files.revisions and name not in before)
    words = f"{name} at {tip[:10]}" + ("" if tip == commit else f", which this branch left at {commit[:10]}")
    words += "" if tree else f"; it has no {environment.config_file.name} there, so everything is new"
    has_ledger = tree is not None and ledger_path(tree).exists()
    return Base(BaseKind.GIT, name, words, root, released, theirs, commit, tip, tree, has_ledger=has_ledger)


def _checked_out(base: Base, repository: Repository, target: Path) -> Base:
    repository.export(base.commit, target)
    return replace(base, checkout=target)


def _unknown(environment: AlembicEnvironment, files: RevisionFiles) -> str:
    """Return what to do about a base that nobody knows: its revision may be in a file that was not read."""
    if files.findings:
        return files.findings[0].message
    if not files.revisions:
        where = ", ".join(map(str, environment.version_directories))
        return f"there is no revision in {where}: let version_locations in {environment.config_file.name} say where"
    return _TAKES


def _tip(repository: Repository, given: str | None, unknown: str) -> tuple[str, str]:
    for name in _DEFAULTS if given is None else (given,):
        if commit := repository.commit(name):
            return commit, name
    if given is None:
        return "", ""
    hint = _DEEPEN if repository.shallow else unknown
    raise ConfigurationError(f"--base {given} is no revision, no file and no commit of {repository.root}", hint=hint)


def _parted(repository: Repository, tip: str, name: str) -> str:
    if commit := repository.merge_base(tip):
        return commit
    hint = _DEEPEN if repository.shallow else "name a commit that both have in common"
    raise ConfigurationError(f"git knows no commit that this branch and {name} have in common", hint=hint)


def _export(
    repository: Repository, environment: AlembicEnvironment, commit: str, target: Path
) -> AlembicEnvironment | None:
    """Write the environment as a commit has it; None where the commit has none."""
    root = repository.root.resolve()
    ini = environment.config_file.resolve()
    if not ini.is_relative_to(root):
        return None
    inside = ini.relative_to(root)
    if not repository.files(commit, [inside]):
        return None
    repository.export(commit, target, [inside.as_posix()])
    there = read_locations(target / inside)
    wanted = [
        one.resolve().relative_to(target)
        for one in (there.directory, *there.version_directories)
        if one.resolve().is_relative_to(target)
    ]
    if wanted and (paths := repository.files(commit, wanted)):
        repository.export(commit, target, paths)
    return there


def _nothing(files: RevisionFiles, root: Path, words: str) -> Base:
    released = {name: _released(one) for name, one in files.revisions.items()}
    return Base(BaseKind.NOTHING, "", words, root, released)


def _released(revision: Revision) -> Released:
    source = revision.path.read_bytes()
    return Released(revision.id, revision.parents, checksum(source), revision.path.name, source)
