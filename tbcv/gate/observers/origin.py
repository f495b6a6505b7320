"""Which line of a revision's Python issued a statement: read from the stack while the statement is executed."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import FrameType, TracebackType

from tbcv.findings import Location
from tbcv.migrate.syntax import parse_source

_BATCH = str(Path("alembic", "operations", "batch.py"))


class Origin:
    """Finds lines of one revision file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = {str(path), str(path.resolve())}

    def here(self) -> Location | None:
        """Return the line that is being executed, if the revision is on the stack; that of the operation in a batch."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the only way to see who calls
        flushing: tuple[Sequence[tuple[str, object, object]], object] | None = None
        while frame is not None:
            if frame.f_code.co_filename in self._names:
                return Location(self.path, self._within_batch(frame.f_lineno, flushing))
            if frame.f_code.co_name == "flush" and frame.f_code.co_filename.endswith(_BATCH):
                flushing = _queue(frame)
            frame = frame.f_back
        return None

    def of(self, error: BaseException) -> Location:
        """Return the line of the revision from which an error came; the file as such where none did."""
        line: int | None = None
        seen: set[int] = set()
        one: BaseException | None = error
        while one is not None and id(one) not in seen and line is None:
            seen.add(id(one))
            line = self._last_line(one.__traceback__)
            one = one.__cause__ or one.__context__
        return Location(self.path, line)

    def _last_line(self, trace: TracebackType | None) -> int | None:
        line: int | None = None
        while trace is not None:
            if trace.tb_frame.f_code.co_filename in self._names:
                line = trace.tb_lineno
            trace = trace.tb_next
        return line

    def _within_batch(self, line: int, flushing: tuple[Sequence[tuple[str, object, object]], object] | None) -> int:
        """Return the line of an operation inside a ``with`` that begins at a line, where that can be told."""
        if flushing is None:
            return line
        queue, current = flushing
        position = next((number for number, one in enumerate(queue) if one[1] is current), None)
        if position is None:
            return line
        kind = queue[position][0]
        nth = sum(1 for one in queue[:position] if one[0] == kind)
        lines = self._operations.get(line, {}).get(kind, ())
        same = Counter(one[0] for one in queue)[kind]
        return lines[nth] if len(lines) == same else line

    @cached_property
    def _operations(self) -> dict[int, dict[str, tuple[int, ...]]]:
        """Per ``with`` statement and kind of operation, the lines of the calls inside."""
        try:
            tree = parse_source(self.path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            return {}
        found: dict[int, dict[str, tuple[int, ...]]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.With):
                kinds: dict[str, tuple[int, ...]] = {}
                calls = [one for part in node.body for one in ast.walk(part) if isinstance(one, ast.Call)]
                for call in sorted(calls, key=lambda one: (one.lineno, one.col_offset)):
                    if isinstance(call.func, ast.Attribute):
                        kind = _kind(call.func.attr)
                        kinds[kind] = (*kinds.get(kind, ()), call.lineno)
                found[node.lineno] = kinds
        return found


def _queue(frame: FrameType) -> tuple[Sequence[tuple[str, object, object]], object] | None:
    """Return what a flushing batch has to do and what it is doing; nothing when it builds the table anew."""
    names = frame.f_locals
    queue = getattr(names.get("self"), "batch", None)
    if names.get("should_recreate") or not isinstance(queue, list):
        return None
    return queue, names.get("arg")


def _kind(method: str) -> str:
    """Return what a batch queues for a method of ours."""
    if method.startswith("create_") and method.endswith(("_constraint", "_foreign_key", "_primary_key")):
        return "add_constraint"
    return "add_constraint" if method in {"create_foreign_key", "create_primary_key"} else method
