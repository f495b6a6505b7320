"""Commands in processes of their own that need not import everything first.

Nine tenths of the time of a short command are imports. A process that has done them forks for each command: the
command has a pid, an environment, streams, a working directory and an exit code of its own, as `python -m tbcv` has,
and shares nothing with the tests. This file is also that process's script.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = ("tbcv.cli.main", "tbcv.cli.migrate", "alembic.command", "aiosqlite", "asyncpg", "rich.table", "rich.syntax")


def run(
    arguments: Sequence[str], *, directory: Path, variables: Mapping[str, str], root: Path = ROOT
) -> subprocess.CompletedProcess[bytes]:
    """Run the `tbcv` of a checkout with these arguments, in this directory and with these variables only."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open() as nothing:
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        code = _ask(_forks(root), [list(arguments), str(directory), dict(variables)], streams)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(arguments), code, out.read(), err.read())


def program(root: Path) -> str:
    """Return a line for a shell script that runs the `tbcv` of a checkout; one that serves is no fork."""
    plain = f'exec "{sys.executable}" -m tbcv "$@"'
    return f'[ "$1" != serve ] || {plain}\nexec "{sys.executable}" -I -S "{__file__}" ask "{_forks(root)}" "$@"'


def _ask(address: str, request: object, streams: list[int]) -> int:
    """Have a command run on these streams; returns its exit code."""
    text = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
        socket.send_fds(client, [len(text).to_bytes(8, "big")], streams)
        client.sendall(text)
        return int(client.recv(16))


@cache
def _forks(root: Path) -> str:
    """Start the process that forks, once for each checkout; it ends with the tests. Return its socket's address."""
    directory = tempfile.TemporaryDirectory(prefix="tbcv-forks-")
    address = str(Path(directory.name, "socket"))
    ready, told = os.pipe()
    variables = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(
        [sys.executable, __file__, "fork", address, str(told)], stdin=subprocess.PIPE, env=variables, pass_fds=[told]
    )
    os.close(told)
    with os.fdopen(ready, "rb") as stream:
        assert stream.read() == b"ready"

    @atexit.register
    def _end() -> None:
        process.communicate()
        directory.cleanup()

    return address


def _serve(address: str, told: int) -> None:
    """Fork for each request."""
    for module in MODULES:
        importlib.import_module(module)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        os.write(told, b"ready")
        os.close(told)
        # Until the tests close its standard input, be it by dying.
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            client, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _answer(client)
            client.close()
            while _ended():
                pass


def _answer(client: socket.socket) -> None:
    """Fork once more, for the command itself, and send its exit code when it has ended."""
    size, streams, _, _ = socket.recv_fds(client, 8, 3)
    length, request = int.from_bytes(size, "big"), b""
    while len(request) < length:
        request += client.recv(1 << 16)
    command = os.fork()
    if command == 0:
        client.close()
        arguments, directory, variables = json.loads(request)
        _become(arguments, directory, variables, streams)
    _, status = os.waitpid(command, 0)
    client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(arguments: list[str], directory: str, variables: dict[str, str], streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # New ones: what Python knows of the old ones, as whether they can be rewound, need not hold for these.
    encoding = variables.get("PYTHONIOENCODING", "utf-8")
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115  # a descriptor is no path
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding, "backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["tbcv", *arguments]
    sys.path[0] = directory
    sys.modules["tbcv.cli.main"].main()


def _ended() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


if __name__ == "__main__":
    if sys.argv[1] == "fork":
        _serve(sys.argv[2], int(sys.argv[3]))
    sys.exit(_ask(sys.argv[2], [sys.argv[3:], str(Path.cwd()), dict(os.environ)], [0, 1, 2]))
