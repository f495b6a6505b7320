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
    arguments: Sequence[str], *, directory: Path, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Run `tbcv` with these arguments, in this directory and with these environment variables only."""
    request = json.dumps([list(arguments), str(directory), dict(variables)]).encode()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, socket.socket(socket.AF_UNIX) as client:
        client.connect(_forks())
        socket.send_fds(client, [len(request).to_bytes(8, "big")], [out.fileno(), err.fileno()])
        client.sendall(request)
        answer = client.recv(16)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(arguments), int(answer), out.read(), err.read())


@cache
def _forks() -> str:
    """Start the process that forks, once; it ends with the tests. Return the address of its socket."""
    directory = tempfile.TemporaryDirectory(prefix="tbcv-forks-")
    address = str(Path(directory.name, "socket"))
    ready, told = os.pipe()
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, __file__, address, str(told)], stdin=subprocess.PIPE, env=variables, pass_fds=[told]
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
    size, streams, _, _ = socket.recv_fds(client, 8, 2)
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
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
        os.close(stream)
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
    _serve(sys.argv[1], int(sys.argv[2]))
