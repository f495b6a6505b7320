"""Values as Markdown: what `docs/` says about settings, URLs, commands, modules and tables.

`docs/generate.py` puts it into the pages, and a test finds the pages that are out of date.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from sqlalchemy import URL, CheckConstraint, Column, ForeignKeyConstraint, Table, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.schema import DefaultClause

from tbcv.engine.url import Parameter
from tbcv.gate.change.codes import Code
from tbcv.gate.judgement.hazard import Hazard
from tbcv.settings import Settings, environment_name

_DIALECTS = {
    "SQLite": URL.create("sqlite+aiosqlite").get_dialect()(),
    "PostgreSQL": URL.create("postgresql+asyncpg").get_dialect()(),
}
_KINDS: Mapping[type, str] = {
    SecretStr: "a database URL",
    bool: "`true`, `false`",
    float: "a number",
    int: "a whole number",
    Path: "a path",
    str: "a text",
}
_ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_HAZARDS_HEADING = """\
<!-- Written by `make docs` from tbcv/gate/judgement/table.py. Do not edit. -->
# Hazards

What `tbcv migrate check` observes when it runs a new revision on a scratch database that is filled with rows, why that
hurts, and the safe way. Tables that the revision makes itself are never a hazard, nor is a lock that is held for a
moment only. Every recipe below is run by a test and found to be free of hazards. [gate.md](gate.md) says how a hazard
is waived that somebody answers for.

A finding with an effect that was seen is an error, whatever the severity that stands here, unless that says otherwise.
"""
_SCHEMA_HEADING = """\
<!-- Written by `make docs` from tbcv/core/database.py. Do not edit. -->
# Database schema

The tables as the models declare them, which is what head builds on both engines.
"""


def filled(page: str, parts: Mapping[str, str]) -> str:
    """Replace what stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` in a page.

    Args:
        page: The page.
        parts: By name; those that the page does not mention are left out.

    Raises:
        KeyError: The page asks for a part that is not there.
    """
    region = re.compile(r"(<!-- begin (?P<name>[^>]+?) -->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)
    return region.sub(lambda match: f"{match[1]}{parts[match['name']].strip()}\n{match[3]}", page)


def settings(model: type[Settings]) -> str:
    """Tabulate the settings: variable, values, default and meaning."""
    rows = (
        (
            f"`{environment_name(name)}`",
            _values(info),
            _default(info.default),
            info.description or "",
        )
        for name, info in model.model_fields.items()
    )
    return _table(("variable", "values", "default", "meaning"), rows)


def schemes(drivers: Mapping[str, str]) -> str:
    """List the schemes of a database URL under the driver that they lead to."""
    lines = []
    for driver in dict.fromkeys(drivers.values()):
        names = ", ".join(f"`{scheme}://`" for scheme, used in drivers.items() if used == driver)
        lines.append(f"- {names}: connects with `{driver}`")
    return "\n".join(lines)


def parameters(known: Mapping[str, Parameter]) -> str:
    """Tabulate the query parameters of a database URL."""
    rows = (
        (f"`{name}`", parameter.values, _effect(name, parameter.keyword)) for name, parameter in sorted(known.items())
    )
    return _table(("parameter", "value", "effect"), rows)


def command(value: click.Command) -> str:
    """Tabulate the arguments and options of a command."""
    rows = []
    for parameter in value.params:
        if isinstance(parameter, click.Option):
            rows.append((_names(parameter), _option_default(parameter), parameter.help or ""))
        else:
            rows.append((f"`{parameter.human_readable_name}`", "", _arity(parameter)))
    return f"{value.help}\n\n" + _table(("option", "default", "meaning"), rows)


def modules(package: Path) -> str:
    """List the modules of a package with the first sentence of their docstrings, room by room."""
    lines = []
    for path in sorted(package.rglob("*.py"), key=lambda one: (one.parent, one.name != "__init__.py", one.name)):
        words = (ast.get_docstring(ast.parse(path.read_bytes())) or "").split("\n\n")[0]
        name = path.relative_to(package.parent).as_posix().removesuffix("__init__.py")
        indent = "  " * (name.rstrip("/").count("/") - 1) if name != f"{package.name}/" else ""
        lines.append(f"{indent}- `{name}`: {' '.join(words.split())}")
    return "\n".join(lines)


def schema(base: type[DeclarativeBase]) -> str:
    """Describe the tables of the models, with a diagram of how they refer to each other."""
    documented = {mapper.local_table: mapper.class_ for mapper in base.registry.mappers}
    tables = list(base.metadata.tables.values())
    parts = [_SCHEMA_HEADING, _diagram(tables)]
    parts += [_describe(table, documented[table]) for table in tables]
    return "\n".join(parts).rstrip() + "\n"


def codes(values: Iterable[Code]) -> str:
    """Tabulate what the gate finds in files."""
    rows = ((f"`{one.code}`", str(one.severity), one.meaning, one.hint) for one in values)
    return _table(("code", "severity", "when", "what to do"), rows)


def hazards(values: Sequence[Hazard]) -> str:
    """Describe what the gate finds in rehearsals: a section for each hazard, with the safe way."""
    listed = _table(
        ("code", "effects", "engines"),
        (
            (
                f"[`{one.code}`](#{one.code})",
                ", ".join(f"`{effect}`" for effect in one.effects) or "none",
                ", ".join(_ENGINES[dialect] for dialect in one.dialects),
            )
            for one in values
        ),
    )
    return "\n".join([_HAZARDS_HEADING, listed, "", *(_hazard(one) for one in values)]).rstrip() + "\n"


def _hazard(value: Hazard) -> str:
    always = ", also where its effect was seen" if value.tolerable else ""
    words = [
        f"## {value.code}",
        f"**{value.title}** ({value.severity}{always}).",
        f"Observed: {value.observed}",
        f"Why it hurts: {value.why}",
        f"Instead: {value.hint}.",
    ]
    if value.recipe:
        words.append(f"```py\n{value.recipe.strip()}\n```")
    return "\n\n".join(words) + "\n"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _values(info: FieldInfo) -> str:
    kinds = [one for one in get_args(info.annotation) or (info.annotation,) if one is not type(None)]
    (kind,) = kinds
    if issubclass(kind, StrEnum):
        return ", ".join(f"`{member.value}`" for member in kind)
    words = _KINDS[kind]
    for bound in info.metadata:
        for sign, name in (("above", "gt"), ("from", "ge")):
            words += f" {sign} {getattr(bound, name):g}" if hasattr(bound, name) else ""
    return words


def _default(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, SecretStr):
        return f"`{value.get_secret_value()}`"
    if isinstance(value, bool):
        return f"`{value}`".lower()
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _effect(name: str, keyword: str) -> str:
    if not keyword:
        return "accepted and without effect"
    return "honoured" if keyword == name else f"read as `{keyword}`"


def _names(option: click.Option) -> str:
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {option.make_metavar(click.Context(click.Command(None)))}"
    return ", ".join(f"`{name}{value}`" for name in names)


def _option_default(option: click.Option) -> str:
    return f"`{option.default}`" if option.show_default and not option.is_flag else ""


def _arity(argument: click.Parameter) -> str:
    return "required" if argument.required else "any number, also none"


def _diagram(tables: Sequence[Table]) -> str:
    lines = ["```mermaid", "erDiagram"]
    for table in tables:
        for key in _foreign_keys(table):
            (column,) = key.columns
            parent = "|o" if column.nullable else "||"
            label = f"{column.name}, {key.ondelete or 'NO ACTION'}"
            lines.append(f'    {key.referred_table.name} {parent}--o{{ {table.name} : "{label}"')
    for table in tables:
        lines.append(f"    {table.name} {{")
        lines += [f"        {_diagram_column(column)}" for column in table.columns]
        lines.append("    }")
    return "\n".join([*lines, "```", ""])


def _diagram_column(column: Column[Any]) -> str:
    kind = column.type.compile(_DIALECTS["PostgreSQL"]).lower().replace(" ", "_")
    key = " PK" if column.primary_key else " FK" if column.foreign_keys else ""
    return f"{kind} {column.name}{key}"


def _describe(table: Table, model: type) -> str:
    columns = _table(
        ("column", *_DIALECTS, "null", "default"),
        (
            (
                f"`{column.name}`",
                *(f"`{column.type.compile(dialect)}`" for dialect in _DIALECTS.values()),
                "yes" if column.nullable else "no",
                _server_default(column),
            )
            for column in table.columns
        ),
    )
    facts = "\n".join(f"- {fact}" for fact in _facts(table))
    return f"## {table.name}\n\n{inspect.getdoc(model)}\n\n{columns}\n\n{facts}\n"


def _server_default(column: Column[Any]) -> str:
    default = column.server_default
    return f"`{default.arg}`" if isinstance(default, DefaultClause) else ""


def _facts(table: Table) -> Iterator[str]:
    yield f"primary key `{_name(table.primary_key)}`: {_columns(table.primary_key.columns)}"
    for key in _foreign_keys(table):
        target = ", ".join(f"`{element.target_fullname}`" for element in key.elements)
        action = f", ON DELETE {key.ondelete}" if key.ondelete else ""
        yield f"foreign key `{_name(key)}`: {_columns(key.columns)} → {target}{action}"
    for constraint in sorted(table.constraints, key=lambda one: str(one.name)):
        if isinstance(constraint, UniqueConstraint):
            yield f"unique `{_name(constraint)}`: {_columns(constraint.columns)}"
        elif isinstance(constraint, CheckConstraint):
            yield f"check `{_name(constraint)}`: `{_condition(constraint)}`"
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        yield f"{'unique ' if index.unique else ''}index `{index.name}`: {_columns(index.columns)}"


def _condition(constraint: CheckConstraint) -> str:
    plain = {"literal_binds": True, "include_table": False}
    return str(constraint.sqltext.compile(dialect=_DIALECTS["PostgreSQL"], compile_kwargs=plain))


def _foreign_keys(table: Table) -> list[ForeignKeyConstraint]:
    return sorted(table.foreign_key_constraints, key=lambda one: str(one.name))


def _name(constraint: Any) -> str | None:  # noqa: ANN401  # any constraint
    return _DIALECTS["PostgreSQL"].identifier_preparer.format_constraint(constraint)


def _columns(columns: Iterable[Column[Any]]) -> str:
    return ", ".join(f"`{column.name}`" for column in columns)
