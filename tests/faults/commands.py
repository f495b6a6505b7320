"""Commands of `tbcv` as processes that are started, killed and waited for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
from sqlalchemy import make_url

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """How a process ended.

    Attributes:
        code: Its exit code; negative for the signal that killed it.
        out: What it printed.
        err: What it printed on stderr.
        seconds: How long it took, from its start.
    """

    code: int
    out: str
    err: str
    seconds: float

    @property
    def line(self) -> str:
        """The one line on stderr in which it says why it failed."""
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("tbcv: ")]
        assert len(lines) == 1, self.err
        return lines[0]


class Process:
    """A command that has been started."""

    def __init__(self, pid: int, directory: Path, wait: Callable[[], int]) -> None:
        self.pid = pid
        self._directory = directory
        self._wait = wait
        self._since = time.monotonic()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def finish(self) -> Done:
        """Wait for its end."""
        code = self._wait()
        out, err = ((self._directory / name).read_text() for name in ("out", "err"))
        return Done(code, out, err, time.monotonic() - self._since)

    def says(self, text: str, seconds: float = 20) -> None:
        """Wait until stderr holds a text."""
        until(lambda: text in (self._directory / "err").read_text(), seconds)


class Forge:
    """Starts commands, most of them as forks of a process that is warm; see `tests.faults.forge`.

    Args:
        directory: Where what they print goes.
        scratch: A PostgreSQL server for scratch databases, so that no command starts its own.
    """

    def __init__(self, directory: Path, scratch: str) -> None:
        self._directory = directory
        self._scratch = scratch
        self._lock = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forge"],
            cwd=ROOT,
            env=self._variables({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the warm process."""
        self._server.communicate()

    def start(
        self,
        *arguments: str,
        kill_at: int = 0,
        number: int = signal.SIGKILL,
        trace: Path | None = None,
        environ: Mapping[str, str] | None = None,
        file_limit: int = 0,
    ) -> Process:
        """Fork `tbcv` with arguments, or the test's own ``revert URL TARGET`` or ``initialize URL``."""
        directory = self._directory / uuid4().hex
        directory.mkdir()
        pid = self._ask(
            arguments=arguments,
            directory=str(directory),
            out=str(directory / "out"),
            err=str(directory / "err"),
            kill_at=kill_at,
            signal=int(number),
            trace=str(trace or ""),
            environ=dict(environ or {}),
            file_limit=file_limit,
        )
        until((directory / "err").exists, 20)
        assert pid is not None
        return Process(pid, directory, lambda: self._wait(pid))

    def run(self, *arguments: str, code: int = 0) -> Done:
        """Fork a command and require its exit code."""
        done = self.start(*arguments).finish()
        assert done.code == code, done
        return done

    def fresh(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Process:
        """Start `python -m tbcv` in an interpreter of its own."""
        directory = self._directory / uuid4().hex
        directory.mkdir()
        with (directory / "out").open("wb") as out, (directory / "err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "tbcv", *arguments],
                cwd=directory,
                env=self._variables(environ or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        return Process(process.pid, directory, process.wait)

    def _variables(self, more: Mapping[str, str]) -> dict[str, str]:
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("TBCV_", "DATABASE_"))}
        scratch = {"TBCV_SCRATCH_DATABASE_URL": self._scratch}
        # A backup costs seconds on PostgreSQL and would be taken once for every fault; it has tests of its own.
        return {**plain, "PYTHONPATH": str(ROOT), "TBCV_BACKUP": "false", **scratch, **more}

    def _wait(self, pid: int) -> int:
        while (code := self._ask(wait=pid)) is None:
            time.sleep(0.01)
        return code

    def _ask(self, **job: object) -> int | None:
        with self._lock:
            assert self._server.stdin is not None
            assert self._server.stdout is not None
            self._server.stdin.write(json.dumps(job) + "\n")
            self._server.stdin.flush()
            answer: int | None = json.loads(self._server.stdout.readline())
            return answer


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for something that is about to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def plain(url: str) -> str:
    """Return a URL as asyncpg takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def ask(url: str, query: str, *values: object) -> list[asyncpg.Record]:
    """Ask a PostgreSQL database something, on a connection of its own."""
    return asyncio.run(_ask(url, query, *values))


async def _ask(url: str, query: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(plain(url))
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query, *values)
        return rows
    finally:
        await connection.close()
