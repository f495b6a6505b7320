"""A copy of an environment in which a draft can be tried without anybody seeing it, and put in place when it holds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tbcv.migrate.location import AlembicEnvironment


@contextmanager
def drafted(environment: AlembicEnvironment) -> Iterator[AlembicEnvironment]:
    """Give a copy of an environment, which is gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="tbcv-draft-") as directory:
        root = Path(directory)
        ignore = shutil.ignore_patterns("__pycache__")
        script = root / "script"
        shutil.copytree(environment.directory, script, ignore=ignore)
        copies: list[Path] = []
        for number, versions in enumerate(environment.version_directories):
            if versions.is_relative_to(environment.directory):
                copies.append(script / versions.relative_to(environment.directory))
                copies[-1].mkdir(parents=True, exist_ok=True)
            else:
                copies.append(root / f"versions{number}")
                shutil.copytree(versions, copies[-1], ignore=ignore)
        yield replace(environment, directory=script, version_directories=tuple(copies))


def put_in_place(files: Mapping[Path, bytes]) -> None:
    """Write files such that all of them are written, or none.

    Each is written beside its place first; should one of the moves fail, those before it are undone.

    Raises:
        OSError: One cannot be written; everything is as it was.
    """
    before = {path: path.read_bytes() if path.exists() else None for path in files}
    beside = {path: path.with_name(f".{path.name}.tmp") for path in files}
    moved: list[Path] = []
    try:
        for path, contents in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside[path].write_bytes(contents)
        for path in files:
            beside[path].replace(path)
            moved.append(path)
    except BaseException:
        for path in moved:
            _restore(path, before[path])
        raise
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)


def _restore(path: Path, contents: bytes | None) -> None:
    if contents is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(contents)
