"""What the gate asks of git, by its own command: which commit, which files, what they held."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tbcv.errors import ConfigurationError

_TIMEOUT_SECONDS = 120
# A hook of git runs with these set, and they would point at another repository than the one that is asked about.
_LOCAL = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository with its files on disk.

    Attributes:
        root: The directory of its files.
    """

    root: Path

    def commit(self, ref: str) -> str | None:
        """Return the commit that a name stands for; None where it stands for none."""
        if ref.startswith("-") or "\0" in ref or not ref:
            return None
        done = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def merge_base(self, commit: str) -> str | None:
        """Return the last commit that a commit and the files' own have in common."""
        done = self._git("merge-base", "HEAD", commit)
        return done.stdout.decode().strip().splitlines()[0] if done.returncode == 0 else None

    @property
    def shallow(self) -> bool:
        """Whether the repository was cloned without its whole history."""
        return self._git("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"

    def files(self, commit: str, directories: Sequence[Path]) -> tuple[str, ...]:
        """List what a commit has at some places or below them, relative to the root."""
        places = [one.as_posix() for one in directories]
        listed = self._required("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, "--", *places)
        return tuple(name.decode(errors="surrogateescape") for name in listed.split(b"\0") if name)

    def export(self, commit: str, target: Path, paths: Sequence[str] | None = None) -> None:
        """Write files as a commit has them below a directory; all of them where no paths are given.

        Neither the repository's index nor its list of work trees is touched, so nothing is left behind.
        """
        target.mkdir(parents=True, exist_ok=True)
        index = {"GIT_INDEX_FILE": str(target / ".gate-index")}
        try:
            self._required("read-tree", commit, environ=index)
            which = ["--all"] if paths is None else ["-z", "--stdin"]
            names = b"".join(one.encode(errors="surrogateescape") + b"\0" for one in paths or ())
            self._required("checkout-index", "--force", f"--prefix={target}/", *which, environ=index, given=names)
        finally:
            (target / ".gate-index").unlink(missing_ok=True)

    def _required(self, *words: str, environ: dict[str, str] | None = None, given: bytes = b"") -> bytes:
        done = self._git(*words, environ=environ, given=given)
        if done.returncode != 0:
            raise ConfigurationError(f"git {words[0]} failed: {_last_line(done.stderr)}")
        return done.stdout

    def _git(
        self, *words: str, environ: dict[str, str] | None = None, given: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        return _run(self.root, *words, environ=environ, given=given)


def find_repository(place: Path) -> Repository | None:
    """Return the repository that a directory belongs to; None where there is none, or no git.

    Raises:
        ConfigurationError: There is one, and git refuses to read it.
    """
    try:
        done = _run(place, "rev-parse", "--show-toplevel")
    except ConfigurationError:
        return None
    if done.returncode == 0:
        return Repository(Path(os.fsdecode(done.stdout.rstrip(b"\n"))))
    if b"not a git repository" in done.stderr or b"must be run in a work tree" in done.stderr:
        return None
    raise ConfigurationError(f"git cannot read the repository at {place}: {_last_line(done.stderr)}")


def _run(
    place: Path, *words: str, environ: dict[str, str] | None = None, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    variables = {name: value for name, value in os.environ.items() if name not in _LOCAL}
    try:
        return subprocess.run(  # noqa: S603  # no shell; names of refs stand behind --end-of-options or are commits
            ["git", "-C", str(place), *words],  # noqa: S607  # the user's own git
            input=given,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
            env=variables | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"} | (environ or {}),
        )
    except FileNotFoundError:
        raise ConfigurationError("there is no git on PATH", hint="give --base a ledger file or a revision") from None
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"git {words[0]} did not end within {_TIMEOUT_SECONDS} s") from None


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
