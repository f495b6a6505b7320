"""How long `tbcv migrate check` takes for one new revision: on both engines, on SQLite alone, and above a long history.

Run from the checkout: ``PYTHONPATH=. python benchmarks/check_speed.py [--old 500] [--rounds 3]``, an even number. The
shortest of some rounds counts, since whatever else the machine does only makes it longer.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tbcv.migrate.checksum import checksum
from tbcv.migrate.ledger import read_ledger, write_ledger
from tbcv.migrate.location import read_environment

ROOT = Path(__file__).resolve().parents[1]
HEAD = "011"
REVISION = '''"""Revision {name}."""

import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = "{parent}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''
TABLE = 'op.create_table("benchmarks", sa.Column("id", sa.Integer, primary_key=True))', 'op.drop_table("benchmarks")'
ADD, DROP = 'op.add_column("metrics", sa.Column("unit", sa.String(20)))', 'op.drop_column("metrics", "unit")'


def run(directory: Path, *words: str, codes: tuple[int, ...] = (0,)) -> float:
    """Run a command and return how many seconds it took."""
    environment = {**os.environ, "PYTHONPATH": str(directory), "TBCV_CACHE_DIRECTORY": str(directory.parent / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    since = time.perf_counter()
    done = subprocess.run(words, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in codes:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - since


def write(directory: Path, name: str, parent: str, up: str, down: str) -> None:
    """Write a revision."""
    path = directory / "migrations" / "versions" / f"{name}_benchmark.py"
    path.write_text(REVISION.format(name=name, parent=parent, up=up, down=down))


def repository(directory: Path, old: int) -> None:
    """Make a repository with some more released revisions, and a branch with a new one."""
    ignored = shutil.ignore_patterns(".git", ".venv", "data", "__pycache__", ".*_cache", "tests")
    shutil.copytree(ROOT, directory, ignore=ignored)
    parent = HEAD
    for number in range(old):
        name = f"b{number:04d}"
        write(directory, name, parent, *((ADD, DROP) if number % 2 == 0 else (DROP, ADD)))
        parent = name
        if number == 1:
            run(directory, sys.executable, "-m", "tbcv", "migrate", "ledger", "--write")
    extend_ledger(directory, old)
    git = ("git", "-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
    run(directory, "git", "init", "--quiet", "--initial-branch=main")
    run(directory, "git", "add", "--all")
    run(directory, *git, "commit", "--quiet", "--message", "released")
    run(directory, "git", "switch", "--quiet", "--create", "feature")
    write(directory, "new", parent, *TABLE)


def extend_ledger(directory: Path, old: int) -> None:
    """Write the lines of the other old revisions: their schemas are those of the first two in turn."""
    environment = read_environment(directory / "alembic.ini")
    entries = read_ledger(environment)
    made = list(entries.values())
    for number in range(2, old):
        name, parent = f"b{number:04d}", f"b{number - 1:04d}"
        meaning = checksum((directory / "migrations" / "versions" / f"{name}_benchmark.py").read_bytes())
        made.append(replace(entries[f"b{number % 2:04d}"], id=name, parents=(parent,), checksum=meaning))
    write_ledger(environment, made)


def check(directory: Path, rounds: int, *words: str) -> float:
    """Return the shortest of some runs; the first, which finds nothing kept, is not among them."""
    command = (sys.executable, "-m", "tbcv", "migrate", "check", "--base", "main", *words)
    # The models lack the new table, so that the check ends with findings.
    run(directory, *command, codes=(1,))
    return min(run(directory, *command, codes=(1,)) for _ in range(rounds))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=int, default=500, help="how many released revisions there are besides")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tbcv-benchmark-") as name:
        short, long = Path(name, "short", "checkout"), Path(name, "long", "checkout")
        repository(short, 0)
        repository(long, given.old)
        for what, words in (("both engines", ()), ("SQLite alone", ("--dialect", "sqlite"))):
            few, many = check(short, given.rounds, *words), check(long, given.rounds, *words)
            print(
                f"{what:<14} {few:6.2f} s; above {given.old} more revisions {many:6.2f} s, "
                f"{many - few:+.2f} s, {many / few:.2f} times as long"
            )


if __name__ == "__main__":
    main()
