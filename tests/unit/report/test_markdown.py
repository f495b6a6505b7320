"""Values as Markdown."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from sqlalchemy import CheckConstraint, ForeignKey, MetaData, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tbcv.engine.url import Parameter, parameters, parse_database_url, schemes
from tbcv.report import markdown
from tbcv.settings import Settings, environment_name


def test_a_part_is_put_between_its_marks() -> None:
    """What stood between the marks of a part is replaced, and the rest of the page is kept."""
    page = "before\n<!-- begin a b -->\nold\n<!-- end a b -->\nafter\n"
    assert markdown.filled(page, {"a b": "new\n"}) == "before\n<!-- begin a b -->\nnew\n<!-- end a b -->\nafter\n"


def test_filling_twice_changes_nothing() -> None:
    """A page that is up to date stays as it is."""
    page = markdown.filled("<!-- begin x -->\n<!-- end x -->\n", {"x": "text"})
    assert markdown.filled(page, {"x": "text"}) == page


def test_a_part_that_does_not_exist_is_an_error() -> None:
    """A page cannot ask for a part that nobody writes."""
    with pytest.raises(KeyError, match="gone"):
        markdown.filled("<!-- begin gone -->\n<!-- end gone -->\n", {})


def test_every_setting_has_a_row() -> None:
    """Each field of the settings is listed under its variable, with its description."""
    table = markdown.settings(Settings)
    for name, info in Settings.model_fields.items():
        assert f"| `{environment_name(name)}` |" in table
        assert str(info.description) in table


def test_a_row_says_what_a_setting_may_be() -> None:
    """Choices, bounds and defaults come from the field."""
    table = markdown.settings(Settings)
    assert "| `TBCV_MIGRATE_ON_STARTUP` | `apply`, `check`, `off` | `apply` |" in table
    assert "| `TBCV_LOCK_TIMEOUT_SECONDS` | a number above 0 | `300` |" in table
    assert "| `TBCV_POOL_SIZE` | a whole number from 1 | `5` |" in table
    assert "| `TBCV_MIGRATION_DATABASE_URL` | a database URL | none |" in table


def test_every_scheme_is_listed_and_accepted() -> None:
    """What the list of schemes promises, the parser takes."""
    listed = markdown.schemes(schemes())
    for scheme, driver in schemes().items():
        assert f"`{scheme}://`" in listed
        assert parse_database_url(f"{scheme}:///name").url.drivername == driver


def test_parameters_say_what_becomes_of_them() -> None:
    """A parameter is honoured, read as another, or accepted and dropped."""
    known = {"b": Parameter("b"), "a": Parameter("b", "x|y", "x or y"), "c": Parameter("")}
    assert markdown.parameters(known).splitlines()[2:] == [
        "| `a` | x or y | read as `b` |",
        "| `b` | a text | honoured |",
        "| `c` | a text | accepted and without effect |",
    ]


def test_every_parameter_has_a_row() -> None:
    """No parameter of either engine is left out."""
    for known in (parameters("sqlite"), parameters("postgresql")):
        assert len(markdown.parameters(known).splitlines()) == len(known) + 2


def test_a_command_is_described_by_its_options() -> None:
    """Names, metavariables, defaults and help stand in a row for each option."""
    command = click.Command(
        "do",
        help="Do it.",
        params=[
            click.Argument(["what"]),
            click.Option(["-n", "--number"], type=int, default=3, show_default=True, help="How often."),
            click.Option(["--fast/--slow"], default=True, help="How."),
        ],
    )
    assert markdown.command(command).splitlines() == [
        "Do it.",
        "",
        "| option | default | meaning |",
        "| --- | --- | --- |",
        "| `WHAT` |  | required |",
        "| `-n INTEGER`, `--number INTEGER` | `3` | How often. |",
        "| `--fast`, `--slow` |  | How. |",
    ]


def test_modules_are_listed_by_room(tmp_path: Path) -> None:
    """A room comes before its modules, each with the first sentence of its docstring."""
    package = tmp_path / "house"
    (package / "room").mkdir(parents=True)
    (package / "__init__.py").write_text('"""A house."""\n')
    (package / "room" / "__init__.py").write_text('"""A room.\n\nMore.\n"""\n')
    (package / "room" / "table.py").write_text('"""A table\nwith legs."""\n')
    assert markdown.modules(package).splitlines() == [
        "- `house/`: A house.",
        "- `house/room/`: A room.",
        "  - `house/room/table.py`: A table with legs.",
    ]


class _Base(DeclarativeBase):
    """The base of the models below."""

    metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"})


class _Parent(_Base):
    """A parent."""

    __tablename__ = "parents"
    __table_args__ = (CheckConstraint("age >= 0", name="age_range"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    age: Mapped[int | None] = mapped_column(server_default=text("0"), index=True)


class _Child(_Base):
    """A child."""

    __tablename__ = "children"

    name: Mapped[str] = mapped_column(String(10), primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("parents.id", ondelete="CASCADE", name="fk_parent"))


def test_tables_are_described_with_everything_that_holds_of_them() -> None:
    """Docstring, columns, keys with their action, checks and indexes of a table are told."""
    page = markdown.schema(_Base)
    for line in (
        "## parents",
        "A parent.",
        "| `age` | `INTEGER` | `INTEGER` | yes | `0` |",
        "- check `age_range`: `age >= 0`",
        "- index `ix_parents_age`: `age`",
        "| `name` | `VARCHAR(10)` | `VARCHAR(10)` | no |  |",
        "- foreign key `fk_parent`: `parent_id` → `parents.id`, ON DELETE CASCADE",
    ):
        assert line in page.splitlines()


def test_the_diagram_shows_how_tables_refer_to_each_other() -> None:
    """A required reference is drawn from exactly one parent to any number of children."""
    assert '    parents ||--o{ children : "parent_id, CASCADE"' in markdown.schema(_Base).splitlines()
