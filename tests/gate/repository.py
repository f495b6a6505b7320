"""A small Alembic project in a git repository of its own, on which pull requests are simulated by branches."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

from pydantic import SecretStr

from tbcv.engine.scratch import ScratchDatabases
from tbcv.migrate.location import AlembicEnvironment, read_environment
from tbcv.migrate.measure import measure
from tbcv.settings import Settings

ENV = """\
from sqlalchemy import MetaData

from tbcv.migrate.environment import run

run(MetaData(), rendered_types={})
"""
HERE = "# HERE"

_GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{role}_{what}": f"somebody@{what}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


@dataclass(frozen=True)
class Repository:
    """A repository with the project in it.

    Attributes:
        root: Where it is.
    """

    root: Path

    @property
    def versions(self) -> Path:
        """Where the revision files are."""
        return self.root / "migrations" / "versions"

    @property
    def environment(self) -> AlembicEnvironment:
        """The Alembic environment."""
        return read_environment(self.root / "alembic.ini")

    def git(self, *words: str) -> str:
        """Run git and return what it says."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        done = subprocess.run(
            ["git", *words], cwd=self.root, env=environ | _GIT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def branch(self, name: str = "change", *, at: str = "main") -> None:
        """Begin a branch."""
        self.git("switch", "--quiet", "--create", name, at)

    def commit(self, message: str = "change") -> str:
        """Commit everything, and return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def revision(
        self,
        name: str,
        parent: str | None,
        up: str = "pass",
        down: str = "pass",
        *,
        header: str = "",
        file: str = "",
    ) -> Path:
        """Write a revision file."""
        path = self.versions / (file or f"{name}_revision.py")
        follows = f"\n\nRevision ID: {name}\nRevises: {parent or ''}\n"
        path.write_text(
            f'"""Revision {name}.{follows}"""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n{header}'
            f"revision = {name!r}\ndown_revision = {parent!r}\nbranch_labels = None\ndepends_on = None\n\n\n"
            f"def upgrade() -> None:\n{_body(up)}\n\ndef downgrade() -> None:\n{_body(down)}",
            encoding="utf-8",
        )
        return path

    def edit(self, path: Path, old: str, new: str) -> None:
        """Replace a text in a file."""
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, (old, text)
        path.write_text(text.replace(old, new), encoding="utf-8")

    def copy(self, target: Path) -> Repository:
        """Return a copy of it."""
        shutil.copytree(self.root, target, symlinks=True)
        return Repository(target)

    async def measure(self, server: str) -> None:
        """Write ledger and schemas."""
        async with ScratchDatabases(Settings(scratch_database_url=SecretStr(server))) as scratch:
            (await measure(self.environment, scratch)).write(self.environment)


def new_repository(root: Path) -> Repository:
    """Make a repository whose project has no revision yet."""
    made = Repository(root)
    made.versions.mkdir(parents=True)
    (root / "migrations" / "env.py").write_text(ENV, encoding="utf-8")
    (root / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n", encoding="utf-8")
    (root / ".gitignore").write_text("__pycache__/\n", encoding="utf-8")
    made.git("init", "--quiet", "--initial-branch=main")
    return made


def line_of(path: Path, text: str = HERE) -> int:
    """Return the line of a file that holds a text."""
    (number,) = [number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    return number


def _body(code: str) -> str:
    return indent(dedent(code).strip() + "\n", "    ")
