"""The house keeps its shape: layers, names and docstrings, read from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "tbcv"
LAYERS = {
    "errors": 0,
    "findings": 0,
    "engine": 1,
    "settings": 1,
    "migrate": 2,
    "core": 3,
    "gate": 3,
    "report": 4,
    "api": 5,
    "cli": 5,
}
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "service", "services"}
REASON = re.compile(r"# noqa: (?:[A-Z]+\d+, ?)*PLC0415  # \S")

MODULES = {
    ".".join(("tbcv", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "_bundle" not in path.parts
}
TREES = {name: ast.parse(path.read_bytes()) for name, path in MODULES.items()}


def imports_of(module: str) -> Iterator[tuple[str, ast.stmt]]:
    """Give the modules of tbcv that a module imports, wherever in it, with the statements that do."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            # What is imported from a package may be a module of it.
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [one for one in inner if one in MODULES] or [str(node.module)]
        else:
            continue
        yield from ((name, node) for name in names if name in MODULES)


def layer_of(module: str) -> int | None:
    """Return the layer of a module; the package itself, which everybody may import, has none."""
    room = module.split(".")[1] if "." in module else ""
    return LAYERS[room] if room not in {"", "__main__"} else None


def package_of(module: str) -> str:
    """Return the package that a module stands in, or that it is."""
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]


def test_every_room_has_a_layer() -> None:
    """Nothing stands outside of the plan of the house."""
    rooms = {name.split(".")[1] for name in MODULES if "." in name} - {"__main__"}
    assert rooms <= LAYERS.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module: str) -> None:
    """A module imports from its own layer or a lower one."""
    own = layer_of(module)
    if own is None:
        return
    for imported, _ in imports_of(module):
        other = layer_of(imported)
        assert other is None or other <= own, f"{module} (layer {own}) imports {imported} (layer {other})"


def test_no_circles() -> None:
    """No module imports itself by way of others, not even lazily."""
    graph = {module: {one for one, _ in imports_of(module) if one != module} for module in MODULES}
    for package in [name for name, path in MODULES.items() if path.name == "__init__.py"]:
        # A package without imports of its own takes no part in a circle.
        assert package not in graph[package]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_no_circles_between_packages() -> None:
    """No package imports itself by way of others, so that each can be read without those above it."""
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        package = package_of(module)
        graph.setdefault(package, set()).update(package_of(one) for one, _ in imports_of(module))
    for package, imported in graph.items():
        # What stands beside a package is there for all of it.
        imported -= {one for one in imported if f"{package}.".startswith(f"{one}.")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("module", MODULES)
def test_imports_stand_at_the_top(module: str) -> None:
    """An import of tbcv inside a function says beside itself why it must be there."""
    lines = MODULES[module].read_text(encoding="utf-8").splitlines()
    top = set(TREES[module].body)
    for imported, node in imports_of(module):
        if node not in top:
            assert REASON.search(lines[node.lineno - 1]), f"{module} imports {imported} lazily, without a reason"


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_named_and_explained(module: str) -> None:
    """A module is called by what it is about, and its docstring gives its reason to exist."""
    assert not BANNED & set(module.split("."))
    assert ast.get_docstring(TREES[module])


@pytest.mark.parametrize("module", MODULES)
def test_nobody_prints(module: str) -> None:
    """Results are returned; the command line writes them, and through its own functions."""
    calls = [node for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)]
    assert not [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
    if not module.startswith("tbcv.cli"):
        echoes = [node.func for node in calls if isinstance(node.func, ast.Attribute)]
        assert not [one.lineno for one in echoes if one.attr == "echo"]
