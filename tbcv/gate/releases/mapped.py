"""The mapped classes of two releases, exercised on each other's schemas.

Each release is imported in a process of its own, out of its own checkout: two versions of one package cannot live in
one interpreter, and what the models of a pull request do when they are imported is none of this process's business.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tbcv.engine.url import DatabaseURL
from tbcv.errors import ConfigurationError
from tbcv.gate.releases.clashes import Clash
from tbcv.gate.releases.passage import Stretch

_PROGRAM = Path(__file__).with_name("mapped_traffic.py")
_SECONDS = 120.0
_LONGEST_ANSWER = 1 << 28
_ABOUT_VALUES = ("CHECK constraint", "UNIQUE constraint", "FOREIGN KEY constraint")
_STATES_ABOUT_VALUES = ("23514", "23505", "23503", "23P01")


@dataclass(frozen=True, slots=True)
class Models:
    """Where the models of the two releases are.

    Attributes:
        base: The declarative base, as in ``tbcv.core.database:Base``; importing its module must import every model.
        old: The directory from which the previous release is imported: a checkout of the base revision.
        new: The directory from which the new release is imported.
    """

    base: str
    old: Path
    new: Path


Answers = dict[tuple[str, ...], dict[str, Any]]


class MappedClasses:
    """The processes that exercise the models of two releases; an async context manager.

    The import begins with the block, so that it need not be waited for by whoever has something else to do first.

    Args:
        models: Where they are.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._stack = AsyncExitStack()
        self._old: _Release
        self._new: _Release | None = None

    async def __aenter__(self) -> Self:
        self._old = await self._stack.enter_async_context(_Release(self._models.base, self._models.old))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _next(self) -> _Release:
        """Return the new release, which is only asked where the old one does not get along."""
        if self._new is None:
            self._new = await self._stack.enter_async_context(_Release(self._models.base, self._models.new))
        return self._new

    async def plant(self, address: DatabaseURL) -> None:
        """Let the old classes leave rows in a database: what a revision makes of them, they have to read.

        Raises:
            ConfigurationError: They cannot be imported.
        """
        await self._old.exercise(address, plant=True)

    async def clashes(self, stretch: Stretch) -> tuple[tuple[Clash, ...], tuple[Clash, ...]]:
        """Exercise the old classes after a revision, and, if that fails, the new ones before it.

        Returns:
            What of the old classes the new schema refuses, and what of the new ones the old schema does.

        Raises:
            ConfigurationError: They cannot be imported.
        """
        worked, rows = await self._old.exercise(stretch.before.address)
        answers, _ = await self._old.exercise(stretch.after.address, rows)
        failed = {
            step: one for step, one in answers.items() if one["error"] and step in worked and not worked[step]["error"]
        }
        if not failed:
            return (), ()
        others, _ = (
            await self._old.exercise(stretch.after.address) if any(map(_about_values, failed.values())) else ({}, {})
        )
        old = _clashes(failed, others)
        release = await self._next()
        worked, rows = await release.exercise(stretch.after.address)
        answers, _ = await release.exercise(stretch.before.address, rows)
        # What the new classes still lack after this revision comes with a later one.
        failed = {
            step: one
            for step, one in answers.items()
            if one["error"] and step in worked and one["error"] != worked[step]["error"]
        }
        return old, tuple(one for one in _clashes(failed, {}) if one.certain)


class _Release:
    """A process with the models of one release."""

    def __init__(self, base: str, directory: Path) -> None:
        self._base = base
        self._directory = directory
        self._imported = False
        self._process: Process
        self._answers: BufferedByteReceiveStream

    async def __aenter__(self) -> Self:
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = await anyio.open_process(
            # -P: the modules beside the program are not the release's.
            [sys.executable, "-P", str(_PROGRAM)],
            cwd=self._directory,
            env={**inherited, "PYTHONPATH": str(self._directory.absolute())},
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self._answers = BufferedByteReceiveStream(self._process.stdout)
        try:
            await self._send({"base": self._base})
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            await self._process.aclose()

    async def _import(self) -> None:
        answer = await self._answer()
        if "failed" in answer:
            raise ConfigurationError(
                f"the models {self._base} of {self._directory} cannot be imported: {answer['failed']}",
                hint="name the module and the declarative base, as in tbcv.core.database:Base",
            )
        self._imported = True

    async def exercise(
        self, address: DatabaseURL, rows: object = None, *, plant: bool = False
    ) -> tuple[Answers, object]:
        """Run everything on a database; returns the answers by step, and the rows that were inserted."""
        if not self._imported:
            await self._import()
        request = {
            "url": address.url.render_as_string(hide_password=False),
            "connect_args": dict(address.connect_args),
            "rows": rows,
            "plant": plant,
        }
        await self._send(request)
        answer = await self._answer()
        return {tuple(map(str, one["id"])): one for one in answer["steps"]}, answer["rows"]

    async def _send(self, request: dict[str, object]) -> None:
        assert self._process.stdin is not None
        # A process that has ended answers nothing, which is said when it is asked for the answer.
        with suppress(anyio.BrokenResourceError):
            await self._process.stdin.send(json.dumps(request).encode() + b"\n")

    async def _answer(self) -> dict[str, Any]:
        try:
            with anyio.fail_after(_SECONDS):
                line = await self._answers.receive_until(b"\n", _LONGEST_ANSWER)
        except (anyio.IncompleteRead, anyio.BrokenResourceError, TimeoutError) as error:
            raise ConfigurationError(
                f"the models {self._base} of {self._directory} end the process that imports them, or stop it",
                hint="importing the module must do nothing but define classes",
            ) from error
        answer: dict[str, Any] = json.loads(line)
        return answer


def _about_values(answer: dict[str, Any]) -> bool:
    return answer["state"] in _STATES_ABOUT_VALUES or any(one in answer["error"] for one in _ABOUT_VALUES)


def _clashes(failed: Answers, others: Answers) -> tuple[Clash, ...]:
    """Say of each table and column what fails there; others are the answers to rows that the new schema takes."""
    groups: dict[tuple[str, str | None, bool], list[dict[str, Any]]] = {}
    for one in failed.values():
        name, verb, what, column = one["id"]
        another = others.get((name, "INSERT", "", "None"))
        takes = another is not None and not another["error"]
        certain = not _about_values(one) or one["declared"] or (verb != "DELETE" and not what and not takes)
        groups.setdefault((one["table"], column, certain or verb == "DELETE"), []).append(one)
    # A missing table or column fails everything that a class does: once is enough.
    everything = {table for (table, column, _), found in groups.items() if column is None for _ in found}
    return tuple(
        Clash(
            table,
            column,
            tuple(dict.fromkeys(" ".join(filter(None, [one["id"][1], one["id"][0], one["id"][2]])) for one in found)),
            found[0]["statement"],
            found[0]["error"],
            certain,
        )
        for (table, column, certain), found in groups.items()
        if column is None or table not in everything
    )
