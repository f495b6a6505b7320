"""The labels of enumerations are read from the text of revisions, whichever way they are written."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import text

from tbcv.engine.engines import migration_engine
from tbcv.engine.scratch import ScratchDatabases
from tbcv.gate.rehearsals.contents import read_contents
from tbcv.gate.seeding.enumerations import Labels, labels_written
from tbcv.gate.seeding.seed import seed
from tbcv.settings import Settings

STATE = ("orders", "state")
CASES: dict[str, Labels] = {
    'op.create_table("orders", sa.Column("state", sa.Enum("new", "paid", name="state")))': {STATE: ("new", "paid")},
    'op.create_table("Orders", sa.Column("State", Enum("new", name="s"), nullable=False))': {STATE: ("new",)},
    'kind = sa.Enum("new", "paid")\nop.create_table("orders", sa.Column("state", kind))': {STATE: ("new", "paid")},
    'words = ("new", "paid")\nop.add_column("orders", sa.Column("state", sa.Enum(*words)))': {STATE: ("new", "paid")},
    'with op.batch_alter_table("orders") as batch:\n    batch.add_column(sa.Column("state", sa.Enum("new")))': {
        STATE: ("new",)
    },
    'with op.batch_alter_table("orders") as batch:\n    batch.alter_column("state", type_=sa.Enum("a", "b"))': {
        STATE: ("a", "b")
    },
    'op.alter_column("orders", "state", type_=sa.Enum("a"), existing_type=sa.Enum("b"))': {STATE: ("a",)},
    """
    class State(enum.Enum):
        NEW = "new"
        PAID: str = "paid"

    class Order(Base):
        __tablename__ = "orders"
        state = sa.Column(sa.Enum(State))
        word = mapped_column("words", sa.Enum(State, values_callable=lambda one: [each.value for each in one]))
    """: {STATE: ("NEW", "PAID"), ("orders", "words"): ("new", "paid")},
    'op.create_table("orders", sa.Column("state", sa.String(20)), sa.Column("n", sa.Numeric(10, 2)))': {},
    'op.create_table("orders", sa.Column("state", sa.Enum(*told_elsewhere)))': {},
    'def downgrade():\n    op.add_column("orders", sa.Column("state", sa.Enum("gone")))': {},
    "op.create_table('orders', sa.Column('state', sa.Enum('new')": {},
}


@pytest.mark.parametrize("source", CASES)
def test_labels(source: str, tmp_path: Path) -> None:
    """Every way of giving a column its labels is read; what is told elsewhere, or is no Python, is nothing."""
    path = tmp_path / "one.py"
    path.write_text(dedent(source))
    assert labels_written([path]) == CASES[source]


def test_later_revisions_count_more(tmp_path: Path) -> None:
    """A column has the labels that it was given last; a file that is not there says nothing."""
    paths = [tmp_path / name for name in ("one.py", "two.py", "none.py")]
    paths[0].write_text('op.create_table("orders", sa.Column("state", sa.Enum("new")))')
    paths[1].write_text('op.alter_column("orders", "state", type_=sa.Enum("new", "paid"))')
    assert labels_written(paths) == {STATE: ("new", "paid")}


@pytest.mark.anyio
async def test_rows_have_labels() -> None:
    """A column of which only Python knows that it is an enumeration holds nothing but its labels."""
    async with ScratchDatabases(Settings.from_env()) as scratch, scratch.database("sqlite") as address:
        engine = migration_engine(address)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE orders (id integer PRIMARY KEY, state varchar(4))"))
        await seed(address, 150, labels={STATE: ("new", "paid")})
        async with engine.connect() as connection:
            contents = await connection.run_sync(read_contents)
        await engine.dispose()
    assert set(contents["orders"].present("state")) == {"new", "paid"}
