"""The workflows run only on a forge: here their files are checked as far as files can be."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

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
