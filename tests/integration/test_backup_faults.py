"""Backups under faults that are made for real: killed processes, full disks."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tbcv.engine.url import parse_database_url
from tbcv.errors import BackupError
from tbcv.migrate.backup import list_backups
from tbcv.migrate.backup.shelf import check_files, require_space
from tbcv.migrate.lock import migration_lock
from tests.integration.backup_cases import Library

pytestmark = pytest.mark.anyio

# Forks a child per moment: the child kills itself at the n-th time that it touches a file or a database, and the
# parent looks at what is left. Ends when a child lives to its end.
KILLED_EVERYWHERE = """
WATCHED = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "os.listdir", "os.scandir",
           "sqlite3.connect", "subprocess.Popen", "socket.connect", "os.chmod"}
from tbcv.migrate.backup import list_backups
from tbcv.migrate.backup.shelf import check_files
first, step = int(sys.argv[5]), int(sys.argv[6])
moment = first
while True:
    child = os.fork()
    if child == 0:
        seen = 0
        def hook(event, arguments):
            global seen
            if event in WATCHED and not str(arguments[0] if arguments else "").endswith((".py", ".pyc")):
                seen += 1
                if seen == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        asyncio.run(library.take(keep=2))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    for backup in list_backups(library.directory):
        check_files(backup)
    print(moment, len(list_backups(library.directory)), flush=True)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    moment += step
"""
KILLED_AT_ONCE = "asyncio.run(library.take())\n"
RESTORED = """
from tbcv.migrate.backup import list_backups
asyncio.run(library.restore(list_backups(library.directory)[-1]))
"""
DISK_FULL = """
import resource
from tbcv.errors import BackupError
async def full():
    async with library.scratch() as scratch:
        limit = int(sys.argv[5])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            await library.take(keep=1)
        except BackupError as error:
            print(error)
            return 3
    return 0
sys.exit(asyncio.run(full()))
"""


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("partial", marks=pytest.mark.postgresql),
        pytest.param("full", marks=pytest.mark.postgresql),
    ]
)
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Library:
    """Give a library of some size with one backup, once for each kind."""
    engine = "sqlite" if request.param == "sqlite" else "postgres"
    url = parse_database_url(request.getfixturevalue(f"{engine}_url"))
    server = "" if engine == "sqlite" else str(request.getfixturevalue("postgres_admin_url"))
    library = Library(url, tmp_path / "backups", request.param, server)
    asyncio.run(library.fill(2000))
    asyncio.run(library.take())
    return library


def test_killed_at_any_moment_leaves_no_broken_backup(library: Library) -> None:
    """Wherever a process is killed, every backup that is listed is whole, and the next one clears what was left."""
    step = {"sqlite": 1, "partial": 9, "full": 15}[library.kind]
    command, environment = library.command(KILLED_EVERYWHERE, "1", str(step))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    moments = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert len(moments) > 5
    assert all(backups >= 1 for _, backups in moments)
    asyncio.run(library.take(keep=2))
    assert library.leftovers() == []
    assert len(list_backups(library.directory)) == 2


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_killed_in_the_middle_of_the_copy_leaves_no_broken_backup(library: Library, share: float) -> None:
    """A process that is killed while data flows leaves a directory that is no backup and that the next one clears."""
    asyncio.run(
        library.run(
            "INSERT INTO books SELECT (a.id + 1) * 10000 + b.id, a.id, a.name FROM authors a, authors b "
            "WHERE a.id < 20 AND b.id > 0"
        )
    )
    command, environment = library.command(KILLED_AT_ONCE)
    process = subprocess.Popen(command, env=environment)
    while not library.leftovers() and process.poll() is None:
        time.sleep(0.001)
    time.sleep(share * 0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for backup in list_backups(library.directory):
        check_files(backup)
    asyncio.run(library.take())
    assert library.leftovers() == []


def test_killed_restore_changes_all_or_nothing(library: Library) -> None:
    """Wherever a restoring process is killed, the database is what it was or what it was to become."""
    after = asyncio.run(library.rows())
    asyncio.run(library.lose())
    before = asyncio.run(library.rows())
    command, environment = library.command(RESTORED)
    start = time.monotonic()
    subprocess.run(command, env=environment, check=True)
    seconds = time.monotonic() - start
    assert asyncio.run(library.rows()) == after
    for share in (0.7, 0.85, 0.95):
        asyncio.run(library.lose())
        process = subprocess.Popen(command, env=environment)
        time.sleep(share * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # What runs on the server may go on for a moment; the lock says until when.
        asyncio.run(settled(library))
        assert asyncio.run(library.rows()) in (before, after)
    asyncio.run(library.restore(list_backups(library.directory)[-1]))
    assert asyncio.run(library.rows()) == after
    assert library.leftovers() == []


async def settled(library: Library) -> None:
    """Wait until nobody migrates."""
    async with migration_lock(library.address, 30):
        pass


@pytest.mark.parametrize("limit", [1, 3000])
def test_full_disk_fails_the_backup_and_nothing_else(library: Library, limit: int) -> None:
    """Where no more can be written the backup fails in one line, leaves nothing, and older ones are kept."""
    kept = list_backups(library.directory)
    before = asyncio.run(library.rows())
    command, environment = library.command(DISK_FULL, str(limit))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert list_backups(library.directory) == kept
    assert library.leftovers() == []
    assert asyncio.run(library.rows()) == before


async def test_too_little_space_is_found_first(tmp_path: Path) -> None:
    """A database that is larger than the disk, here on paper only, is not begun to be copied."""
    library = Library(parse_database_url(f"sqlite:///{tmp_path}/big.db"), tmp_path / "backups", "sqlite")
    await library.fill()
    with (tmp_path / "big.db").open("r+b") as stream:
        stream.truncate(2**43)
    with pytest.raises(BackupError, match=r"no room in .*backups: 9\d+ bytes are needed and \d+ available"):
        await library.take()
    assert not library.directory.exists()


def test_space_is_measured_where_the_directory_will_be(tmp_path: Path) -> None:
    """The directory need not exist for its disk to be known."""
    require_space(tmp_path / "a" / "b", 1)
    with pytest.raises(BackupError, match="no room"):
        require_space(tmp_path / "a" / "b", 2**60)


def test_limits_of_this_process_are_untouched() -> None:
    """The limits above are those of other processes."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
