"""What a fresh machine installs: the lock files, the Makefile that reads them, and the checks of a clone."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PINNED = re.compile(r"[a-z0-9-]+==[0-9][0-9a-z.!+]*(?: ; [a-z_ .<>=!'0-9()A-Z]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")

every_lock = pytest.mark.parametrize("lock", ["run", "dev"])


def lines_of(lock: str) -> list[str]:
    """Return the lines of a lock file."""
    return (ROOT / "locks" / f"{lock}.txt").read_text(encoding="utf-8").splitlines()


def pins_of(lock: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return the version and the hashes of every package in a lock file."""
    entries = "\n".join(lines_of(lock)).replace("\\\n", "").splitlines()
    pins = {}
    for entry in entries:
        requirement, *hashes = entry.split("--hash=")
        name, version = requirement.split(";")[0].strip().split("==")
        pins[name] = (version, frozenset(digest.strip() for digest in hashes))
    return pins


def declared(*, extras: tuple[str, ...], groups: tuple[str, ...]) -> list[Requirement]:
    """Return what pyproject.toml asks for: the dependencies, some extras and some groups."""
    document: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    texts = [
        *project["dependencies"],
        *(text for extra in extras for text in project["optional-dependencies"][extra]),
        *(text for group in groups for text in document["dependency-groups"][group]),
    ]
    return [Requirement(text) for text in texts]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell, even when a make runs these tests."""
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    env = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@every_lock
def test_a_lock_holds_pins_and_hashes_only(lock: str) -> None:
    """Each line is an exact version or a hash: no index, host, path, option or comment of any machine."""
    assert [line for line in lines_of(lock) if not (PINNED.fullmatch(line) or HASH.fullmatch(line))] == []


@every_lock
def test_every_pin_is_hashed(lock: str) -> None:
    """No package can be installed that was not the one seen when the lock was made."""
    assert [name for name, (_, hashes) in pins_of(lock).items() if not hashes] == []


def test_users_and_developers_run_the_same_versions() -> None:
    """Every pin of the run-time lock stands in the development lock, file for file."""
    assert pins_of("run").items() <= pins_of("dev").items()


@pytest.mark.parametrize(
    ("lock", "extras", "groups"), [("run", ("api",), ()), ("dev", ("api", "gate"), ("test", "lint"))]
)
def test_locks_satisfy_the_project(lock: str, extras: tuple[str, ...], groups: tuple[str, ...]) -> None:
    """Whatever pyproject.toml asks for is locked in a version that it allows; else run `make lock`."""
    pins = pins_of(lock)
    for requirement in declared(extras=extras, groups=groups):
        version, _ = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}"


def test_ci_begins_with_the_command_of_the_readme() -> None:
    """A fresh clone is checked by what the README tells a person to type, then by lint and by the wheel."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = re.findall(r"^check (.+)$", script, re.MULTILINE)
    assert commands == ["make test", "make lint", "make wheel-check"]
    assert commands[0] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_an_interpreter_that_does_not_run_is_refused_in_one_line(tmp_path: Path) -> None:
    """Without a suitable Python, make says what to install and leaves no half-made environment."""
    made = tmp_path / "environment"
    done = make(f"VENV={made}", "PYTHON=false", f"{made}/made.stamp")
    explanation, *rest = done.stderr.splitlines()
    assert done.returncode != 0
    assert "Python 3.11 or newer" in explanation
    assert "python3-venv" in explanation
    assert all(line.startswith("make: ***") for line in rest)
    assert not made.exists()


def test_every_target_is_explained() -> None:
    """`make` alone changes nothing and lists every target that a person may call."""
    said = make().stdout
    (phony,) = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert re.findall(r"^make ([a-z-]+) +\S", said, re.MULTILINE) == phony.split()
