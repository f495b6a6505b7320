"""The workflows run only on a forge: here their files are checked as far as files can be."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gate.repository import new_repository

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TESTS_WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"
MAKE_CALL = re.compile(r"(?:^|&&|;)\s*make\s+([^\n;&|]+)", re.MULTILINE)

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def checker(name: str) -> str:
    """Return the checker that was installed with the interpreter; without it nothing here proves anything."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found, f"{name} is missing beside {sys.executable}: install the dependency group `test`"
    return found


def output_of(*command: str | Path) -> tuple[int, str]:
    """Run a checker on files, and return its exit status and everything it said."""
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout


def load(path: Path) -> dict[str, Any]:
    """Parse a workflow; YAML 1.1 reads its key `on` as a boolean, which is undone here."""
    document: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in document.items()}


def steps_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of all jobs."""
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


def make_targets() -> set[str]:
    """Return the targets that `make help` shows."""
    lines = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):.*## ", lines, re.MULTILINE))


def make_calls(path: Path) -> set[str]:
    """Return the targets that the run steps of a workflow ask of make."""
    scripts = [step["run"] for step in steps_of(load(path)) if "run" in step]
    words = {word for script in scripts for call in MAKE_CALL.findall(script) for word in shlex.split(call)}
    return {word for word in words if "=" not in word and not word.startswith("-")}


def test_actionlint_finds_nothing() -> None:
    """The workflows are valid: keys, expressions, contexts, runner labels and the inputs of known actions."""
    assert output_of(checker("actionlint"), "-shellcheck=", "-pyflakes=", *WORKFLOWS) == (0, "")


def test_zizmor_finds_nothing() -> None:
    """The security audit of the workflows, without a network, has no finding."""
    status, said = output_of(checker("zizmor"), "--offline", "--no-progress", ROOT / ".github", ROOT / "action.yml")
    assert status == 0, said
    assert "No findings to report" in said
    assert "failed to parse" not in said
    assert "action.yml" in said


@every_workflow
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """Every action is named by a full commit id, which nobody can move."""
    used = [step["uses"] for step in steps_of(load(path)) if "uses" in step]
    assert [name for name in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []


@every_workflow
def test_pull_requests_and_the_merge_queue_are_both_checked(path: Path) -> None:
    """A pull request is checked alone and again in the queue, and never with the rights of the base."""
    triggers = load(path)["on"]
    assert {"pull_request", "merge_group"} <= triggers.keys()
    assert triggers["merge_group"] == {"types": ["checks_requested"]}
    assert "pull_request_target" not in path.read_text(encoding="utf-8")


@every_workflow
def test_no_path_filter_leaves_a_required_check_pending(path: Path) -> None:
    """No trigger filters by path, because a workflow that never starts never reports its check."""
    filters = [filter_ or {} for filter_ in load(path)["on"].values()]
    assert not any({"paths", "paths-ignore"} & filter_.keys() for filter_ in filters)


@every_workflow
def test_permissions_are_least(path: Path) -> None:
    """A workflow may read the code, and no job may write anything or keep the token on disk."""
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    granted = [right for job in workflow["jobs"].values() for right in job.get("permissions", {}).values()]
    assert "write" not in granted
    checkouts = [step for step in steps_of(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step.get("with", {}).get("persist-credentials") is False for step in checkouts)


@every_workflow
def test_runs_are_bounded(path: Path) -> None:
    """A newer push ends the older run of a pull request only, and no job can hang for hours."""
    workflow = load(path)
    assert "github.event.pull_request.number || github.sha" in workflow["concurrency"]["group"]
    assert workflow["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


@every_workflow
def test_make_targets_exist(path: Path) -> None:
    """Whatever a workflow asks of make is a documented target of the Makefile."""
    assert make_calls(path) <= make_targets()


def test_the_workflow_runs_what_ci_runs() -> None:
    """Pull requests meet the same commands as a local `.ci/run`."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert make_calls(TESTS_WORKFLOW) == set(re.findall(r"^check make (\S+)$", script, re.MULTILINE))


@pytest.mark.parametrize(
    ("results", "passes"),
    [("success success", True), ("success failure", False), ("cancelled success", False), ("skipped", False)],
)
def test_the_one_required_check_speaks_for_every_job(results: str, passes: bool) -> None:
    """The closing job always runs, waits for every other job, and passes only if each of them passed."""
    jobs = load(TESTS_WORKFLOW)["jobs"]
    gate = jobs.pop("tests")
    assert gate["if"] == "always()"
    assert set(gate["needs"]) == jobs.keys()
    (step,) = gate["steps"]
    done = subprocess.run(["bash", "-e", "-c", step["run"]], env={"RESULTS": results}, check=False)
    assert (done.returncode == 0) is passes


GATE_WORKFLOW = ROOT / ".github" / "workflows" / "schema-gate.yml"
HARMFUL = 'op.drop_column("metrics", "value")'
HARMLESS = 'op.add_column("metrics", sa.Column("unit", sa.String(20)))'


@pytest.mark.parametrize(
    ("changes", "relevant", "results", "passes"),
    [
        ("success", "true", "success success success", True),
        ("success", "false", "skipped skipped skipped", True),
        ("success", "true", "success failure success", False),
        ("success", "true", "success skipped success", False),
        ("success", "true", "cancelled success success", False),
        ("success", "", "skipped skipped skipped", False),
        ("failure", "", "skipped skipped skipped", False),
        ("failure", "false", "skipped skipped skipped", False),
    ],
)
def test_the_gate_is_green_when_it_may_be(changes: str, relevant: str, results: str, passes: bool) -> None:
    """The only required check always runs: green when all passed, or when nothing relevant was touched."""
    jobs = load(GATE_WORKFLOW)["jobs"]
    gate = jobs.pop("gate")
    assert gate["if"] == "always()"
    assert set(gate["needs"]) == jobs.keys()
    assert set(re.findall(r"needs\.([\w-]+)\.result", gate["env"]["RESULTS"])) == jobs.keys() - {"changes"}
    (step,) = gate["steps"]
    given = {"CHANGES": changes, "RELEVANT": relevant, "RESULTS": results}
    assert given.keys() == gate["env"].keys()
    done = subprocess.run(["bash", "-e", "-c", step["run"]], env=given, check=False)
    assert (done.returncode == 0) is passes


class Runner:
    """A clone with a pull request as GitHub checks it out: the merge of a branch into its base.

    Args:
        root: Where the clone is made.
        server: A PostgreSQL server for scratch databases.
    """

    def __init__(self, root: Path, server: str) -> None:
        self.root = root
        self._server = server
        tracked = output_of("git", "ls-files", "--cached", "--others", "--exclude-standard")[1].splitlines()
        for name in tracked:
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, root / name)
        self._environment = root.parent / "venv"
        self._prepare()
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("base")
        self.git("switch", "--quiet", "--create", "change")

    def _prepare(self) -> None:
        """Let make believe that it has installed everything, which the tests' own interpreter has."""
        (self._environment / "bin").mkdir(parents=True)
        python = self._environment / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        for name in ("made", "run", "dev"):
            (self._environment / f"{name}.stamp").touch()

    def git(self, *words: str) -> str:
        """Run git in the clone."""
        who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
        done = subprocess.run(["git", *who, *words], cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def merge(self) -> None:
        """Check out what GitHub would: the base with the branch merged into it."""
        self.commit("change")
        self.git("switch", "--quiet", "--detach", "main")
        self.git("merge", "--quiet", "--no-ff", "change", "--message", "merge")

    def run(self, job: str, step: str) -> tuple[int, str, str]:
        """Run a step of a job; returns its exit code, what it said, and the job's summary or its outputs."""
        workflow = load(GATE_WORKFLOW)
        assert workflow["env"] == {"BASE": "${{ github.event.merge_group.base_sha || 'HEAD^1' }}"}
        written = self.root.parent / "written"
        written.write_text("")
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "MAKE", "MFLAGS"))},
            "BASE": "HEAD^1",
            "ENGINES": "--dialect postgresql",
            "TBCV_SCRATCH_DATABASE_URL": self._server,
            "GITHUB_OUTPUT": str(written),
            "GITHUB_STEP_SUMMARY": str(written),
        }
        command = step.replace("make ", f"make VENV={self._environment} ")
        done = subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=self.root,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert job in workflow["jobs"]
        return done.returncode, done.stdout, written.read_text()

    def steps(self, job: str) -> list[str]:
        """Return the commands of a job."""
        return [step["run"] for step in load(GATE_WORKFLOW)["jobs"][job]["steps"] if "run" in step]


@pytest.fixture
def runner(tmp_path: Path, postgres_admin_url: str) -> Runner:
    """Return a clone on a branch."""
    return Runner(tmp_path / "clone", postgres_admin_url)


def new_revision(runner: Runner, up: str) -> Path:
    """Write a revision on top of the last one."""
    versions = runner.root / "migrations" / "versions"
    last = max(path.name for path in versions.glob("[0-9]*.py"))[:3]
    path = versions / "999_change.py"
    path.write_text(
        '"""Change."""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
        f'revision = "999"\ndown_revision = "{last}"\n\n\ndef upgrade() -> None:\n    {up}\n\n\n'
        "def downgrade() -> None:\n    pass\n",
        encoding="utf-8",
    )
    return path


def test_a_change_that_is_not_relevant(runner: Runner) -> None:
    """A pull request that touches no schema is told so, and the other jobs need not run."""
    (runner.root / "README.md").write_text("Hello.\n")
    runner.merge()
    (look,) = runner.steps("changes")
    assert runner.run("changes", look) == (0, "", "relevant=false\n")


def test_a_change_that_git_cannot_see(runner: Runner) -> None:
    """Where git cannot say what was touched, everything counts as touched."""
    (look,) = runner.steps("changes")
    code, _, outputs = runner.run("changes", look)
    assert (code, outputs) == (0, "relevant=true\n")


@pytest.mark.postgresql
def test_a_pull_request_that_is_blocked(runner: Runner) -> None:
    """Each engine's job fails, with annotations on the lines and a summary for the reviewer."""
    path = new_revision(runner, HARMFUL)
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if HARMFUL in text)
    runner.merge()
    (look,) = runner.steps("changes")
    assert runner.run("changes", look)[2] == "relevant=true\n"
    for job in ("sqlite", "postgresql"):
        (step,) = runner.steps(job)
        code, said, summary = runner.run(job, step)
        assert code != 0
        assert f"::error file=migrations/versions/999_change.py,line={line},title=data-loss::" in said
        assert "title=breaks-previous-release::" in said
        assert "title=models-drift::" in said
        assert "## Schema gate: blocked" in summary
        assert "DROP COLUMN value" in summary
        assert (runner.root / "gate.sarif").exists()


@pytest.mark.postgresql
def test_a_pull_request_that_passes(runner: Runner) -> None:
    """A revision that the models, the ledger and the schemas follow passes every job, pytest-alembic's among them."""
    path = new_revision(runner, HARMLESS)
    path.write_text(path.read_text().replace("    pass\n", '    op.drop_column("metrics", "unit")\n'))
    models = runner.root / "tbcv" / "core" / "database.py"
    text = models.read_text(encoding="utf-8")
    place = "    value: Mapped[float"
    assert text.count(place) == 1
    models.write_text(text.replace(place, f"    unit: Mapped[str | None] = mapped_column(String(20))\n{place}"))
    python = f'"{sys.executable}" -m tbcv migrate ledger --write'
    assert runner.run("sqlite", python)[0] == 0
    runner.merge()
    for job in ("sqlite", "postgresql"):
        (step,) = runner.steps(job)
        code, said, summary = runner.run(job, step)
        assert code == 0, said
        assert "::error" not in said
        assert "## Schema gate: passed" in summary
    (step,) = runner.steps("pytest-alembic")
    code, said, _ = runner.run("pytest-alembic", step.replace("make test", "make test JOBS=0"))
    assert code == 0, said


def test_the_action_is_complete() -> None:
    """The composite action reads its inputs from the environment only, and names each of them."""
    action: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    steps = action["runs"]["steps"]
    assert action["runs"]["using"] == "composite"
    assert all(step["shell"] == "bash" and "${{" not in step["run"] for step in steps)
    used = {name for step in steps for value in step["env"].values() for name in re.findall(r"inputs\.([\w-]+)", value)}
    assert used == action["inputs"].keys()


@pytest.mark.parametrize("dialect", ["sqlite", ""])
def test_the_action_on_a_project(dialect: str, tmp_path: Path, postgres_admin_url: str) -> None:
    """The action's own command checks a project that has nothing of tbcv, with its inputs as they may come."""
    repository = new_repository(tmp_path / "a project")
    repository.revision("001", None, 'op.create_table("t", sa.Column("id", sa.Integer(), primary_key=True))')
    repository.commit()
    repository.revision("002", "001", 'op.add_column("t", sa.Column("a", sa.Text()))', 'op.drop_column("t", "a")')
    repository.commit()
    action: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    (step,) = [one for one in action["runs"]["steps"] if one["name"] == "Check"]
    defaults = {name: one["default"] for name, one in action["inputs"].items()}
    given = defaults | {"dialect": dialect, "rows": "50", "scratch-database-url": postgres_admin_url}
    values = {name: given[re.sub(r"^\$\{\{ inputs\.([\w-]+) \}\}$", r"\1", one)] for name, one in step["env"].items()}
    command = step["run"].replace("python ", f'"{sys.executable}" ')
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **values}
    done = subprocess.run(
        ["bash", "-e", "-c", command], cwd=repository.root, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("passed in")
    assert (repository.root / "schema-gate.sarif").exists()


def test_the_hook_runs_the_gate() -> None:
    """The hook for pre-commit names a command that there is."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["entry"] == "tbcv migrate check"
    assert hook["pass_filenames"] is False
    pattern = re.compile(hook["files"])
    for name in ("migrations/versions/1.py", "app/models.py", "backend/alembic.ini", "src/models/user.py"):
        assert pattern.search(name), name
    assert not pattern.search("README.md")


def test_code_owners_answer_for_the_schema() -> None:
    """Whoever changes revisions or models needs the review of an owner."""
    lines = (ROOT / ".github" / "CODEOWNERS").read_text(encoding="utf-8").splitlines()
    owned = {line.split()[0] for line in lines if line and not line.startswith("#")}
    assert {"/migrations/", "/tbcv/core/database.py"} <= owned
    assert all((ROOT / name.lstrip("/")).exists() for name in owned)
