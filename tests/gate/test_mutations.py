"""Mutation testing of the drift check: forty small changes of the models, each of which it must notice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.schema import DefaultClause

from tbcv.core.database import Base
from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.gate.change.files import read_files
from tbcv.gate.drift import ModelSource, check_drift
from tbcv.gate.staging.templates import Templates
from tbcv.migrate.history import History
from tbcv.migrate.location import own_environment
from tests.conftest import ENGINES

pytestmark = pytest.mark.anyio

Mutation = Callable[[MetaData], object]


def changed(name: str, **values: object) -> Mutation:
    """Change attributes of a column."""
    table, _, column = name.partition(".")
    return lambda models: models.tables[table].c[column].__dict__.update(values)


def added(table: str, item: Callable[[Table], object]) -> Mutation:
    """Add something to a table."""
    return lambda models: item(models.tables[table])


def column(table: str, new: Column[object]) -> Mutation:
    """Add a column."""
    return lambda models: models.tables[table].append_column(new._copy())


def constraint(table: str, make: Callable[[], CheckConstraint | UniqueConstraint | ForeignKeyConstraint]) -> Mutation:
    """Add a constraint."""
    return lambda models: models.tables[table].append_constraint(make())


def without(table: str, kind: type, number: int = 0) -> Mutation:
    """Take out a constraint of a kind."""

    def change(models: MetaData) -> None:
        found = models.tables[table]
        some = sorted((one for one in found.constraints if type(one) is kind), key=lambda one: str(one.name))
        found.constraints.remove(some[number])

    return change


def index(table: str, change: Callable[[Index], object], number: int = 0) -> Mutation:
    """Change an index."""
    return lambda models: change(sorted(models.tables[table].indexes, key=lambda one: str(one.name))[number])


def actions(table: str, **values: str | bool | None) -> Mutation:
    """Change what a foreign key does."""

    def change(models: MetaData) -> None:
        keys = models.tables[table].foreign_key_constraints
        for key in keys:
            key.__dict__.update(values)
            for element in key.elements:
                element.__dict__.update(values)

    return change


def condition(table: str, number: int, sql: str) -> Mutation:
    """Change what a CHECK demands."""

    def change(models: MetaData) -> None:
        found = models.tables[table].constraints
        checks = sorted((one for one in found if isinstance(one, CheckConstraint)), key=lambda one: str(one.name))
        checks[number].sqltext = text(sql)

    return change


def _drop_index(one: Index) -> None:
    assert one.table is not None
    one.table.indexes.remove(one)


def _rename(models: MetaData) -> None:
    models.tables["metrics"].name = "measures"


MUTATIONS: dict[str, Mutation] = {
    "column added": column("metrics", Column("unit", String(20))),
    "required column added": column("metrics", Column("unit", String(20), nullable=False)),
    "column with a default added": column("metrics", Column("unit", String(20), server_default="s")),
    "computed column added": column("metrics", Column("twice", Integer, Computed("1 + 1", persisted=True))),
    "column renamed": lambda models: setattr(models.tables["metrics"].c.value, "name", "amount"),
    "type of another family": changed("metrics.value", type=Text()),
    "number instead of a float": changed("metrics.value", type=Numeric(10, 2)),
    "longer text": changed("workflows.type", type=String(60)),
    "text without a limit": changed("workflows.type", type=Text()),
    "moment instead of a text": changed("workflows.type", type=DateTime()),
    "collation": changed("workflows.type", type=String(50, collation="C").with_variant(String(50, "NOCASE"), "sqlite")),
    "optional that was required": changed("workflows.type", nullable=True),
    "required that was optional": changed("workflows.error_message", nullable=False),
    "default added": changed("workflows.error_message", server_default=DefaultClause("none")),
    "default changed": changed("workflows.total_steps", server_default=DefaultClause("7")),
    "default dropped": changed("workflows.total_steps", server_default=None),
    "default that is computed": changed("workflows.error_message", server_default=DefaultClause(text("(1 + 1)"))),
    "check added": constraint("metrics", lambda: CheckConstraint("value < 9", name="small")),
    "check dropped": without("workflows", CheckConstraint),
    "check changed": condition("checkpoints", 0, "step_number >= 1"),
    "check of a pair": constraint("workflows", lambda: CheckConstraint("total_steps < 9 or type <> 'x'", name="pair")),
    "unique added": constraint("metrics", lambda: UniqueConstraint("name", name="uq_once")),
    "unique of a pair": constraint("metrics", lambda: UniqueConstraint("name", "value", name="uq_pair")),
    "foreign key dropped": without("checkpoints", ForeignKeyConstraint),
    "foreign key added": constraint(
        "metrics", lambda: ForeignKeyConstraint(["name"], ["workflows.id"], name="fk_metrics_name")
    ),
    "what a deletion does": actions("checkpoints", ondelete="RESTRICT"),
    "what an update does": actions("checkpoints", onupdate="CASCADE"),
    "nothing on deletion": actions("checkpoints", ondelete=None),
    "deferrable": actions("checkpoints", deferrable=True, initially="DEFERRED"),
    "index added": added("metrics", lambda table: Index("ix_value", table.c.value)),
    "index dropped": index("workflows", _drop_index),
    "index made unique": index("metrics", lambda one: setattr(one, "unique", True)),
    "index renamed": index("metrics", lambda one: setattr(one, "name", "ix_other")),
    "index of an expression": added("metrics", lambda table: Index("ix_lower", text("lower(name)"), _table=table)),
    "index of a part": added(
        "metrics",
        lambda table: Index(
            "ix_part", table.c.value, postgresql_where=text("value > 0"), sqlite_where=text("value > 0")
        ),
    ),
    "index downwards": added("metrics", lambda table: Index("ix_down", table.c.value.desc())),
    "index of a pair": added("metrics", lambda table: Index("ix_pair", table.c.value, table.c.name)),
    "table added": lambda models: Table("tags", models, Column("id", Integer, primary_key=True)),
    "table renamed": _rename,
    "table dropped": lambda models: models.remove(models.tables["metrics"]),
    "primary key of another column": lambda models: models.tables["cache_entries"].primary_key.__dict__.update(
        name="pk_renamed"
    ),
}
# What an engine has no notion of, it cannot differ in.
NOT_ON_SQLITE = frozenset({"primary key of another column"})


@pytest.fixture(scope="module")
async def templates(postgres_admin_url: str, anyio_backend: str) -> AsyncIterator[Templates]:
    """Give databases at head, made once per engine."""
    from pydantic import SecretStr

    from tbcv.settings import Settings

    environment = own_environment()
    settings = Settings(scratch_database_url=SecretStr(postgres_admin_url))
    async with (
        ScratchDatabases(settings) as scratch,
        Templates(environment, scratch, read_files(environment).revisions) as made,
    ):
        yield made


async def differences(templates: Templates, dialect: Dialect, mutation: Mutation | None) -> tuple[str, ...]:
    """Return what the drift check says of mutated models."""
    models = MetaData(naming_convention=Base.metadata.naming_convention)
    for table in Base.metadata.tables.values():
        table.to_metadata(models)
    if mutation is not None:
        mutation(models)
    history = History(dict(read_files(templates.environment).revisions))
    source = ModelSource(models.create_all, "", templates.environment.directory)
    drift = await check_drift(templates, dialect, history, source)
    codes = {one.code for one in drift.findings}
    assert codes <= {"models-drift"}, drift.findings
    return drift.changes


@pytest.mark.parametrize("dialect", ENGINES)
async def test_every_mutation_is_noticed(
    dialect: Dialect, templates: Templates, record_property: Callable[[str, object], None]
) -> None:
    """Unchanged models agree with the migrations, and no change of them goes unnoticed."""
    assert await differences(templates, dialect, None) == ()
    wanted = [name for name in MUTATIONS if dialect != "sqlite" or name not in NOT_ON_SQLITE]
    survived = [name for name in wanted if not await differences(templates, dialect, MUTATIONS[name])]
    rate = f"{len(wanted) - len(survived)} of {len(wanted)}"
    record_property(f"mutations killed on {dialect}", rate)
    print(f"mutations of the models killed on {dialect}: {rate}")  # noqa: T201  # the rate is what is asked for
    assert survived == []
    assert len(wanted) >= 40
