"""The committed schema: the snapshot of the heads per engine, as a file that a review shows the difference of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tbcv.engine.scratch import Dialect
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.snapshot import Snapshot


def schema_path(environment: AlembicEnvironment, dialect: Dialect) -> Path:
    """Return where the committed schema of an engine is."""
    return environment.directory / "schema" / f"{dialect}.txt"


def read_schema(environment: AlembicEnvironment, dialect: Dialect) -> tuple[str, ...] | None:
    """Return the lines of the committed schema; None where there is none."""
    path = schema_path(environment, dialect)
    return tuple(path.read_text(encoding="utf-8").splitlines()) if path.exists() else None


def write_schemas(environment: AlembicEnvironment, snapshots: Mapping[Dialect, Snapshot]) -> tuple[Path, ...]:
    """Write the schemas of the heads, each beside its place first; engines that were not at hand keep theirs."""
    written = []
    for dialect, snapshot in snapshots.items():
        path = schema_path(environment, dialect)
        path.parent.mkdir(exist_ok=True)
        beside = path.with_suffix(".tmp")
        beside.write_text(snapshot.text, encoding="utf-8", newline="\n")
        beside.replace(path)
        written.append(path)
    return tuple(written)
