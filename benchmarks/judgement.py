"""How much of what revisions do `tbcv migrate check` finds, and how much of what it says is so.

``benchmarks/revisions`` holds revisions with what each does, labelled by trying them on servers and files and without
regard to the gate. ``effects`` must be found; of those in ``either`` opinions may differ. On SQLite, where a writer
keeps every other one waiting, no blocking is claimed and none counts; nor does what only the end of the process between
two statements leaves behind, which the driver there commits one by one.

Run from the checkout: ``PYTHONPATH=. python benchmarks/judgement.py postgresql``, or ``sqlite``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import Any

from tbcv.engine.embedded import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[1]
URLS = {"sqlite": "sqlite:///app.db", "postgresql": "postgresql://app:app@localhost/app"}
ENVIRONMENT = """
from alembic import context
from sqlalchemy import engine_from_config, pool

section = context.config.get_section(context.config.config_ini_section)
with engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import postgresql as pg
{imports}

revision = {name!r}
down_revision = {parent!r}


def upgrade():
{upgrade}


def downgrade():
{downgrade}
"""


def write(directory: Path, case: Mapping[str, Any], dialect: str) -> None:
    """Write a project of two revisions: what was there, and the one to judge."""
    versions = directory / "migrations" / "versions"
    versions.mkdir(parents=True)
    (directory / "alembic.ini").write_text(
        f"[alembic]\nscript_location = %(here)s/migrations\nsqlalchemy.url = {URLS[dialect]}\n"
    )
    (directory / "migrations" / "env.py").write_text(ENVIRONMENT)
    for name, parent, up, down in (("before", None, "base", ""), ("after", "before", "upgrade", "downgrade")):
        bodies = {key: indent(case.get(part) or "pass", "    ") for key, part in (("upgrade", up), ("downgrade", down))}
        text = REVISION.format(name=name, parent=parent, imports=case["imports"], **bodies)
        (versions / f"{name}.py").write_text(text)


def judged(case: Mapping[str, Any], *, root: Path, dialect: str, server: str) -> set[str]:
    """Return the effects that the gate claims of a revision."""
    directory = root / case["name"]
    write(directory, case, dialect)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TBCV_CACHE_DIRECTORY": str(root / "cache")}
    if server:
        environment["TBCV_SCRATCH_DATABASE_URL"] = server
    words = ("-c", "alembic.ini", "--base", "before", "--dialect", dialect, "--json", "--rows", "500")
    command = (sys.executable, "-m", "tbcv", "migrate", "check", *words)
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{case['name']}: {done.stderr}")
    return {effect for finding in json.loads(done.stdout)["findings"] for effect in finding["effects"]}


def main() -> None:
    """Print what was missed, what was too much, and both as shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dialect", choices=sorted(URLS))
    parser.add_argument("--revisions", type=Path, help="another file of labelled revisions")
    given = parser.parse_args()
    dialect = given.dialect
    file = given.revisions or ROOT / "benchmarks" / "revisions" / f"{dialect}.json"
    cases = json.loads(file.read_text(encoding="utf-8"))
    count: Counter[str] = Counter()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tbcv-judgement-")))
        server = stack.enter_context(EmbeddedPostgres()).url() if dialect == "postgresql" else ""
        work = partial(judged, root=root, dialect=dialect, server=server)
        for case, found in zip(cases, stack.enter_context(ThreadPoolExecutor(2)).map(work, cases), strict=True):
            wanted = set(case["effects"])
            missed, wrong = wanted - found, found - wanted - set(case["either"])
            count.update(right=len(wanted & found), missed=len(missed), wrong=len(wrong))
            if missed or wrong:
                print(f"{case['name']}: missed {sorted(missed)}, wrong {sorted(wrong)}: {case['why']}")
    recall = count["right"] / (count["right"] + count["missed"])
    precision = count["right"] / (count["right"] + count["wrong"])
    print(f"{dialect}, {len(cases)} revisions: recall {recall:.3f}, precision {precision:.3f}")


if __name__ == "__main__":
    main()
