"""Alembic itself, bare and as a library: the project's env.py serves those who do not use `tbcv`."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.command_line import HEAD, CommandLine, copy_checkout, recorded

LIBRARY = """
import asyncio, json, logging, sys
from alembic import command
from alembic.config import Config

mine, other = logging.getLogger("my.app"), logging.getLogger("sqlalchemy.engine")
mine.setLevel(logging.DEBUG)
mine.addHandler(logging.NullHandler())
logging.getLogger().addHandler(logging.NullHandler())
alembic = logging.getLogger("alembic")

def state():
    loggers = (logging.getLogger(), mine, other, alembic)
    return [[repr(one.handlers), one.level, one.disabled, one.propagate] for one in loggers]

before = state()
config = Config("alembic.ini")
if sys.argv[2] == "set":
    config.set_main_option("sqlalchemy.url", sys.argv[3].replace("%", "%%"))

def work():
    command.upgrade(config, "head")
    command.downgrade(config, "-1")
    command.upgrade(config, "head")
    command.check(config)

async def within_a_loop():
    work()

asyncio.run(within_a_loop()) if sys.argv[1] == "loop" else work()
print(json.dumps({"untouched": state() == before}))
"""


def alembic(tbcv: CommandLine, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run bare Alembic from the root of the checkout."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=tbcv.root,
        env=tbcv.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def library(tbcv: CommandLine, *arguments: str) -> None:
    """Use Alembic as a library, in a fresh interpreter at the root of the checkout."""
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY, *arguments],
        cwd=tbcv.root,
        env=tbcv.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"untouched": True}


def test_bare_alembic(tbcv: CommandLine, tmp_path: Path) -> None:
    """`alembic upgrade head`, `check`, `downgrade` and `revision --autogenerate` work, and find nothing to generate."""
    assert tbcv.url is not None
    bare = tbcv.within(copy_checkout(tmp_path / "copy"))
    alembic(bare, "upgrade", "head")
    assert recorded(tbcv.url) == [HEAD]
    assert "No new upgrade operations detected" in alembic(bare, "check").stdout
    alembic(bare, "revision", "--autogenerate", "-m", "nothing")
    (path,) = (bare.root / "migrations/versions").glob("*_nothing.py")
    functions = [node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef)]
    assert [[type(one) for one in function.body] for function in functions] == [[ast.Pass], [ast.Pass]]
    path.unlink()
    alembic(bare, "downgrade", "-1")
    assert f"{HEAD} (head)" not in alembic(bare, "current").stdout
    assert recorded(tbcv.url) == ["010"]


@pytest.mark.parametrize("loop", ["loop", "plain"])
def test_as_a_library(tbcv: CommandLine, tmp_path: Path, loop: str) -> None:
    """A URL set on the Config, in its synchronous spelling, wins over the environment; logging is left alone."""
    assert tbcv.url is not None
    url = tbcv.url.replace("+asyncpg", "")
    bystander = tmp_path / "bystander.db"
    library(tbcv.at(f"sqlite:///{bystander}"), loop, "set", url)
    assert recorded(tbcv.url) == [HEAD]
    assert not bystander.exists()


def test_the_environment_wins_over_the_file(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """DATABASE_URL counts where nothing is set on the Config, and the file's URL where there is no DATABASE_URL."""
    root = copy_checkout(tmp_path / "copy")
    ini = root / "alembic.ini"
    text = ini.read_text(encoding="utf-8")
    commented = "# sqlalchemy.url = sqlite:///./data/tbcv.db"
    assert commented in text
    ini.write_text(text.replace(commented, "sqlalchemy.url = sqlite:///%(here)s/file 100%%.db"), encoding="utf-8")
    tbcv = on_sqlite.within(root)
    library(tbcv, "plain", "unset")
    assert recorded(str(on_sqlite.url)) == [HEAD]
    assert not (root / "file 100%.db").exists()
    library(tbcv.at(None), "loop", "unset")
    assert recorded(f"sqlite:///{root}/file 100%25.db") == [HEAD]
