"""Where an ini file says that an environment is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.errors import ConfigurationError
from tbcv.migrate.location import own_environment, read_environment


def write(directory: Path, text: str) -> Path:
    """Write an ini file, and an env.py in every directory that it may name."""
    for name in ("script", "100%"):
        (directory / name).mkdir(parents=True)
        (directory / name / "env.py").touch()
    path = directory / "alembic.ini"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "script", "versions"),
    [
        ("script_location = script", "script", ["script/versions"]),
        ("script_location = %(here)s/script", "script", ["script/versions"]),
        ("script_location = 100%%", "100%", ["100%/versions"]),
        ("script_location = script\nversion_locations = one two", "script", ["one", "two"]),
        (
            "script_location = script\nversion_locations = one:%(here)s/two\npath_separator = os",
            "script",
            ["one", "two"],
        ),
        ("script_location = script\nversion_locations = a b\n  c\npath_separator = newline", "script", ["a b", "c"]),
        ("script_location = script\nversion_locations = one;two\npath_separator = ;", "script", ["one", "two"]),
    ],
)
def test_locations(tmp_path: Path, text: str, script: str, versions: list[str]) -> None:
    """Relative locations are meant from the ini file, wherever the process is."""
    root = tmp_path / "a 50% place"
    environment = read_environment(write(root, f"[alembic]\n{text}\n"))
    assert environment.config_file == root / "alembic.ini"
    assert environment.directory == root / script
    assert environment.version_directories == tuple(root / one for one in versions)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("script_location = script", "ini file"),
        ("[alembic]\n", "script_location"),
        ("[other]\nscript_location = script\n", "script_location"),
        ("[alembic]\nscript_location = elsewhere\n", "env.py"),
        ("[alembic]\nscript_location = %(nothing)s\n", "ini file"),
        ("[alembic]\nscript_location = 100%\n", "ini file"),
    ],
)
def test_no_locations(tmp_path: Path, text: str, said: str) -> None:
    """A file that names no environment is a matter of configuration, told in a line."""
    with pytest.raises(ConfigurationError) as caught:
        read_environment(write(tmp_path, text))
    assert said in caught.value.message
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    """What cannot be read is named with the reason."""
    (tmp_path / "binary.ini").write_bytes(b"\xff\xfe\x00")
    for name, said in (("missing.ini", "No such file"), ("", "directory"), ("binary.ini", "UTF-8")):
        with pytest.raises(ConfigurationError, match=said):
            read_environment(tmp_path / name)


def test_in_a_package(tmp_path: Path) -> None:
    """A location in a package names any number of directories below it, and the package is not imported."""
    config = write(tmp_path, "[alembic]\nscript_location = app:db:script\nversion_locations = app:db:one\n")
    for name in ("script", "one"):
        (tmp_path / "app" / "db" / name).mkdir(parents=True)
    (tmp_path / "app" / "__init__.py").write_text("raise RuntimeError", encoding="utf-8")
    (tmp_path / "app" / "db" / "script" / "env.py").touch()
    environment = read_environment(config)
    assert environment.directory == tmp_path / "app" / "db" / "script"
    assert environment.version_directories == (tmp_path / "app" / "db" / "one",)


def test_beside_its_env(tmp_path: Path) -> None:
    """A file that names no location, as Flask-Migrate writes it, means the directory in which it lies."""
    (tmp_path / "env.py").touch()
    config = tmp_path / "alembic.ini"
    config.write_text("[alembic]\n", encoding="utf-8")
    assert read_environment(config).directory == tmp_path


def test_our_own() -> None:
    """The environment of tbcv is found beside the package."""
    environment = own_environment()
    assert (environment.directory / "env.py").is_file()
    assert [path.name for path in environment.version_directories] == ["versions"]
