"""What README.md, docs/ and migrations/README.md show is run, and what is generated is up to date."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from tbcv.cli.main import tbcv
from tbcv.engine.embedded import _binaries, _free_port
from tbcv.engine.url import parse_database_url
from tbcv.errors import TbcvError
from tests import processes

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(["README.md", "migrations/README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
COPIED = ("tbcv", "migrations", "docs", "tests/legacy", "alembic.ini", "main.py", "README.md")

# The commands that are shown and not run, and why.
NOT_RUN = {
    r"make [a-z-]+": "it installs packages, or would run these tests; a dry run shows that the target exists",
    r"\. \.venv/bin/activate": "the interpreter of the tests stands in for the environment that make prepares",
}

BLOCK = re.compile(r"^```(?P<kind>console|bash|python)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SERVER = re.compile(r"((?:\w+=\S+ )*)((?:tbcv serve|python main\.py)\b.*)")
DATABASE = re.compile(r"postgresql://\S*?\bexample\.com[^/\s]*/\w+")
VARYING = (
    (re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{4}-[\w.]+"), "<backup>"),
    (re.compile(r"\b\d+\.\d\d s\b"), "0.00 s"),
    (re.compile(r"\b\d+ ms\b"), "0 ms"),
    (re.compile(r"(?<=\bat )[0-9a-f]{10}\b"), "<commit>"),
    (re.compile(r'"seconds": \d+\.\d+'), '"seconds": 0.0'),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?"), "<time>"),
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])"), "<revision>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<fingerprint>"),
)
# For a machine without the program.
STAND_INS = {
    "curl": "import sys, urllib.request as u\nprint(u.urlopen(sys.argv[-1]).read().decode(), end='')",
    "sqlite3": (
        "import sqlite3, sys\n"
        "words = [word for word in sys.argv[1:] if not word.startswith('-')]\n"
        "connection = sqlite3.connect(words[0], isolation_level=None)\n"
        "if len(words) == 1:\n    connection.executescript(sys.stdin.read())\n"
        "else:\n    for row in connection.execute(words[1]): print(*row, sep='|')"
    ),
}


class Example(NamedTuple):
    """A command of a page, or a Python program."""

    line: int
    command: str
    shown: tuple[str, ...]
    python: bool = False

    @property
    def exit_code(self) -> int:
        """The exit code, 0 unless a comment beside the command says otherwise."""
        said = re.search(r"# exit (\d+)$", self.command)
        return int(said[1]) if said else 0


def examples(page: str) -> Iterator[Example]:
    """Read the commands of a page in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        first = text[: block.start()].count("\n") + 2
        if block["kind"] == "python":
            yield Example(first, block["text"], (), python=True)
            continue
        lines = block["text"].splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
        assert starts[:1] == [0], f"{page}:{first}: a block begins with a command, written as `$ command`"
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            yield Example(first + start, lines[start][2:].strip(), tuple(lines[start + 1 : end]))


class Shell:
    """A copy of the checkout in which the commands of one page run, one after the other."""

    def __init__(self, directory: Path, postgres_url: str, scratch_url: str) -> None:
        self.root = directory / "checkout"
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, self.root / name)
        self.port = _free_port()
        self.url = postgres_url.replace("+asyncpg", "")
        self.server: subprocess.Popen[bytes] | None = None
        programs = directory / "bin"
        programs.mkdir()
        self._write_program(programs / "python", f'exec "{sys.executable}" "$@"')
        self._write_program(programs / "alembic", f'exec "{sys.executable}" -m alembic "$@"')
        self._write_program(programs / "tbcv", processes.program(self.root))
        for name, source in STAND_INS.items():
            if shutil.which(name) is None:
                (programs / f"{name}.py").write_text(source)
                self._write_program(programs / name, f'exec "{sys.executable}" "{programs / name}.py" "$@"')
        path = os.pathsep.join([str(programs), str(_binaries()), os.environ["PATH"]])
        # A width of the terminal that the tests run in would wrap what a pipe gets whole.
        outer = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "FORCE_COLOR"}}
        self.env = outer | {"PATH": path, "PYTHONPATH": str(self.root), "NO_PROXY": "127.0.0.1"}
        # The server of the tests saves each command the start of one of its own.
        self.env["TBCV_SCRATCH_DATABASE_URL"] = scratch_url

    def run(self, example: Example) -> tuple[int, str]:
        """Run a command to its end, or a server until it answers; returns exit code and what it printed."""
        command = DATABASE.sub(self.url, example.command).replace(":8000", f":{self.port}")
        exported = re.fullmatch(r"export (\w+)=(\S+)", command)
        if exported:
            self.env[exported[1]] = exported[2]
            return 0, ""
        if command.startswith("unset "):
            self.env = {name: value for name, value in self.env.items() if name not in command.split()}
            return 0, ""
        server = SERVER.fullmatch(command)
        if server and example.exit_code == 0:
            return self._serve(f"{server[1]}exec {server[2]} --port {self.port}")
        arguments = [sys.executable, "-c", command] if example.python else ["bash", "-c", command]
        done = subprocess.run(
            arguments,
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout

    def stop(self) -> None:
        """Stop the server, if one runs."""
        if self.server is not None:
            self.server.send_signal(signal.SIGINT)
            self.server.wait(20)

    def plain(self, text: str) -> list[str]:
        """Return the lines of an output without what differs from run to run."""
        text = text.replace(parse_database_url(self.url).redacted, "<database>").replace(str(self.root), "…")
        text = DATABASE.sub("<database>", text)
        for pattern, word in VARYING:
            text = pattern.sub(word, text)
        return [line.rstrip() for line in text.rstrip().splitlines()]

    def _serve(self, command: str) -> tuple[int, str]:
        self.stop()
        self.server = subprocess.Popen(
            ["bash", "-c", command], cwd=self.root, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.server.poll() is None:
            try:
                direct.open(f"http://127.0.0.1:{self.port}/health/live", timeout=2)
            except urllib.error.URLError:
                time.sleep(0.1)
            else:
                return 0, ""
        return self.server.poll() or 1, ""

    @staticmethod
    def _write_program(path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)


@pytest.fixture
def shell(tmp_path: Path, postgres_url: str, postgres_admin_url: str) -> Iterator[Shell]:
    """Return a copy of the checkout with the programs that the pages use."""
    made = Shell(tmp_path, postgres_url, postgres_admin_url)
    yield made
    made.stop()


def expected(shown: list[str]) -> str:
    """Return a pattern of the output that is shown; a line of three dots stands for any lines."""
    return "".join(r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line) + r"\n" for line in shown)


@pytest.mark.postgresql
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES)
def test_every_command_does_what_the_page_shows(page: str, shell: Shell) -> None:
    """Each command ends with the exit code that the page says, and prints what the page shows."""
    for example in examples(page):
        where = f"{page}:{example.line}: {example.command}"
        if any(re.fullmatch(pattern, example.command) for pattern in NOT_RUN):
            assert not example.shown, f"{where} is not run, so nothing may be shown for it"
            continue
        code, output = shell.run(example)
        assert code == example.exit_code, f"{where}\n{output}"
        if example.shown:
            found = "".join(f"{line}\n" for line in shell.plain(output))
            pattern = expected(shell.plain("\n".join(example.shown)))
            assert re.fullmatch(pattern, found), f"{where}\n{found}\nis not\n{pattern}"


def test_every_make_target_that_is_shown_exists() -> None:
    """A dry run of each target that a page names succeeds."""
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in PAGES]
    targets = {target for text in texts for target in re.findall(r"(?:^\$ |`)make ([a-z-]+)", text, re.MULTILINE)}
    env = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    done = subprocess.run(
        ["make", "--dry-run", *sorted(targets)], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert {"run", "test", "docs"} <= targets
    assert done.returncode == 0, done.stderr


def test_generated_parts_are_up_to_date(tmp_path: Path) -> None:
    """`make docs` changes nothing; if this fails, run it."""
    for name in ("tbcv", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, tmp_path / "docs" / "generate.py"], env=env, cwd=tmp_path, check=True)
    for path in (tmp_path / "docs").glob("*.md"):
        assert path.read_text(encoding="utf-8") == (ROOT / "docs" / path.name).read_text(encoding="utf-8"), path.name


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    """A relative link names a file of the checkout, and its fragment a heading there."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        name, _, fragment = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert fragment in {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}, target


def test_every_command_is_described() -> None:
    """docs/commands.md has a heading for each command and none for a command that does not exist."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    described = re.findall(r"^#+ (tbcv(?: [a-z-]+)*)$", text, re.MULTILINE)
    assert sorted(described) == sorted(commands(tbcv, "tbcv"))
    assert {name for name in described if f"<!-- begin {name} -->" not in text} == set()


def test_every_error_code_is_described() -> None:
    """docs/commands.md lists the code of each error with its exit code."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for error in subclasses(TbcvError):
        assert f"| `{error.code}` | {error.exit_code} |" in text


def test_every_dependency_is_justified() -> None:
    """docs/architecture.md says of each package that pyproject.toml asks for why it is there."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, groups = document["project"], document["dependency-groups"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(one for group in (*extras, *groups.values()) for one in group)]
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = {re.split(r"[^\w-]", one)[0] for one in wanted} | {"hatchling"}
    assert {name for name in names if f"| `{name}` |" not in text} == set()


def commands(command: click.Command, name: str) -> list[str]:
    """Return the full names of a command and of all below it."""
    names = [name]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            assert below is not None
            names += commands(below, f"{name} {word}")
    return names


def subclasses(error: type[TbcvError]) -> Iterator[type[TbcvError]]:
    """Return all classes below an error."""
    for one in error.__subclasses__():
        yield one
        yield from subclasses(one)
