"""Random histories: revisions as autogenerate writes them and people change them, with rows in every table.

Each kind of change takes the schema so far and returns the code of its way up and its way down. Up, down and up again
must conserve every row, and every value that the way down does not say it drops.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hypothesis import strategies as st

ROWS = 7


@dataclass
class Schema:
    """What the revisions so far have made.

    Attributes:
        tables: The columns of each table that may be changed; every table has ``id``, ``n`` and ``word`` besides.
        names: How many names have been given.
    """

    tables: dict[str, list[str]] = field(default_factory=dict)
    names: int = 0

    def name(self, kind: str) -> str:
        """Return a name that nothing has yet."""
        self.names += 1
        return f"{kind}_{self.names}"


Change = tuple[str, str]
Draw = Callable[[st.SearchStrategy[str]], str]


def create(schema: Schema, draw: Draw) -> Change:
    """Make a table that refers to itself and perhaps to another, and fill it."""
    table, action = schema.name("t"), draw(st.sampled_from(["CASCADE", "SET NULL", "RESTRICT", "NO ACTION"]))
    parent = draw(st.sampled_from(["", *schema.tables]))
    lines = [f"sa.ForeignKeyConstraint(['below'], ['{table}.id'], name='fk_{table}_self', ondelete='{action}')"]
    if parent:
        lines.append(
            f"sa.ForeignKeyConstraint(['parent'], ['{parent}.id'], name='fk_{table}_parent', ondelete='{action}')"
        )
    text = ",\n    ".join(lines)
    given = "{row} % 3 + 1" if parent else "NULL"
    schema.tables[table] = []
    return (
        f"""
op.create_table(
    "{table}",
    sa.Column("id", sa.Integer, nullable=False),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("word", sa.String(50)),
    sa.Column("below", sa.Integer),
    sa.Column("parent", sa.Integer),
    {text},
    sa.PrimaryKeyConstraint("id", name="pk_{table}"),
)
for row in range(1, {ROWS + 1}):
    word = "NULL" if row % 4 == 0 else f"'Wörd {{row}}'"
    below = "NULL" if row == 1 else row // 2
    op.execute(f"INSERT INTO {table} VALUES ({{row}}, {{row * row}}, {{word}}, {{below}}, {given})")
""",
        f'op.drop_table("{table}")',
    )


def add_column(schema: Schema, draw: Draw) -> Change:
    """Add a column and fill it from another."""
    table, column = draw(st.sampled_from(list(schema.tables))), schema.name("c")
    schema.tables[table].append(column)
    return (
        f"""
op.add_column("{table}", sa.Column("{column}", sa.Integer))
op.execute("UPDATE {table} SET {column} = n * 2 WHERE n > 4")
""",
        f"""
with op.batch_alter_table("{table}") as batch:
    batch.drop_column("{column}")
""",
    )


def enumerate_column(schema: Schema, draw: Draw) -> Change:
    """Add a column of an enumeration, a type of its own on PostgreSQL."""
    table, column = draw(st.sampled_from(list(schema.tables))), schema.name("e")
    kind = f'sa.Enum("new", "old", name="kind_{column}")'
    return (
        f"""
{kind}.create(op.get_bind(), checkfirst=True)
with op.batch_alter_table("{table}") as batch:
    batch.add_column(sa.Column("{column}", {kind}, server_default="new", nullable=False))
op.execute("UPDATE {table} SET {column} = 'old' WHERE n > 9")
""",
        f"""
with op.batch_alter_table("{table}") as batch:
    batch.drop_column("{column}")
{kind}.drop(op.get_bind(), checkfirst=True)
""",
    )


def widen(schema: Schema, draw: Draw) -> Change:
    """Change a type, which rebuilds the table on SQLite."""
    table = draw(st.sampled_from(list(schema.tables)))
    change = """
with op.batch_alter_table("{table}") as batch:
    batch.alter_column("n", existing_type={old}, type_={new}, existing_nullable=False)
"""
    return (
        change.format(table=table, old="sa.Integer()", new="sa.BigInteger()"),
        change.format(table=table, old="sa.BigInteger()", new="sa.Integer()"),
    )


def require(schema: Schema, draw: Draw) -> Change:
    """Fill a column and require it; the way down remembers which rows had nothing."""
    table = draw(st.sampled_from(list(schema.tables)))
    change = """
with op.batch_alter_table("{table}") as batch:
    batch.alter_column("word", existing_type=sa.String(50), nullable={nullable})
"""
    fill = f"""op.execute("UPDATE {table} SET word = 'none ' || id WHERE word IS NULL")\n"""
    empty = f"""op.execute("UPDATE {table} SET word = NULL WHERE word = 'none ' || id")\n"""
    return fill + change.format(table=table, nullable=False), change.format(table=table, nullable=True) + empty


def check(schema: Schema, draw: Draw) -> Change:
    """Add a check and a unique constraint."""
    table, name = draw(st.sampled_from(list(schema.tables))), schema.name("k")
    return (
        f"""
with op.batch_alter_table("{table}") as batch:
    batch.create_check_constraint("ck_{name}", "n >= -1000")
    batch.create_unique_constraint("uq_{name}", ["n", "id"])
""",
        f"""
with op.batch_alter_table("{table}") as batch:
    batch.drop_constraint("uq_{name}", type_="unique")
    batch.drop_constraint("ck_{name}", type_="check")
""",
    )


def index(schema: Schema, draw: Draw) -> Change:
    """Make an index, a partial one with an expression of its own."""
    table, name = draw(st.sampled_from(list(schema.tables))), schema.name("ix")
    unique = draw(st.sampled_from(["False", "True"]))
    where = 'postgresql_where=sa.text("n > 3"), sqlite_where=sa.text("n > 3")'
    return f'op.create_index("{name}", "{table}", ["n", "id"], unique={unique}, {where})', f'op.drop_index("{name}")'


def concurrent_index(schema: Schema, draw: Draw) -> Change:
    """Make an index while others write, outside of a transaction."""
    table, name = draw(st.sampled_from(list(schema.tables))), schema.name("ix")
    block = "with op.get_context().autocommit_block():\n    "
    return (
        f'{block}op.create_index("{name}", "{table}", ["word"], postgresql_concurrently=True, if_not_exists=True)',
        f'{block}op.drop_index("{name}", "{table}", postgresql_concurrently=True, if_exists=True)',
    )


def move_values(schema: Schema, draw: Draw) -> Change:
    """Change values, and nothing else."""
    table, by = draw(st.sampled_from(list(schema.tables))), draw(st.sampled_from(["1", "10", "-3"]))
    return f'op.execute("UPDATE {table} SET n = n + {by}")', f'op.execute("UPDATE {table} SET n = n - {by}")'


def rename(schema: Schema, draw: Draw) -> Change:
    """Rename a column that a revision has added, if there is one."""
    table = draw(st.sampled_from(list(schema.tables)))
    if not schema.tables[table]:
        return move_values(schema, draw)
    old, new = schema.tables[table].pop(), schema.name("r")
    schema.tables[table].append(new)
    change = """
with op.batch_alter_table("{table}") as batch:
    batch.alter_column("{old}", new_column_name="{new}", existing_type=sa.Integer())
"""
    return change.format(table=table, old=old, new=new), change.format(table=table, old=new, new=old)


CHANGES: Final = (
    create,
    add_column,
    enumerate_column,
    widen,
    require,
    check,
    index,
    concurrent_index,
    move_values,
    rename,
)


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """Draw a history of three to eight revisions."""
    schema = Schema()
    kinds = draw(st.lists(st.sampled_from(CHANGES), min_size=2, max_size=7))

    def word(strategy: st.SearchStrategy[str]) -> str:
        return draw(strategy)

    once: set[tuple[object, str]] = set()
    changes = [create(schema, word)]
    for kind in kinds:
        up, down = kind(schema, word)
        if kind in {require, widen, check}:
            # What is there already is not made, and would not be undone.
            table = re.findall(r'batch_alter_table\("(\w+)"', up)[0]
            if (kind, table) in once:
                continue
            once.add((kind, table))
        changes.append((up, down))
    return changes
