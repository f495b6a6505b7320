"""Pairs of revisions that look alike: one with a hazard, one without, and what each does to whom.

Effects are written as letters: R blocks reads, W blocks writes, X rewrites a table, S scans fully under a lock,
L loses data, I irreversible, F fails, N not rerunnable. None: not for this engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

from tbcv.findings import Effect

LETTERS = {
    "R": Effect.BLOCKS_READS,
    "W": Effect.BLOCKS_WRITES,
    "X": Effect.REWRITES_TABLE,
    "S": Effect.FULL_SCAN_UNDER_LOCK,
    "L": Effect.LOSES_DATA,
    "I": Effect.IRREVERSIBLE,
    "F": Effect.FAILS,
    "N": Effect.NOT_RERUNNABLE,
}

BASE = """
import sqlalchemy as sa
from alembic import op

revision = "start"
down_revision = None


def upgrade():
    op.create_table(
        "customers",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("email", sa.String(200), nullable=False),
        sa.Column("name", sa.String(100)),
        sa.Column("country", sa.String(2)),
        sa.Column("bio", sa.Text()),
        sa.Column("code", sa.String(40)),
        sa.Column("credit", sa.Numeric(12, 2)),
        sa.Column("created_at", sa.DateTime()),
        sa.CheckConstraint("code IS NOT NULL", name="code_present"),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("customer_id", sa.Integer(), sa.ForeignKey("customers.id", name="orders_customer"), nullable=False),
        sa.Column("status", sa.String(20)),
        sa.Column("note", sa.Text()),
        sa.Column("amount", sa.Numeric(12, 2), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("is_paid", sa.Boolean()),
        sa.Column("placed_at", sa.DateTime()),
    )
    op.create_index("ix_orders_customer_id", "orders", ["customer_id"])
    op.create_index("ix_orders_placed_at", "orders", ["placed_at"])
    op.create_table(
        "tags",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("state", sa.String(10), nullable=False, server_default="new"),
    )
    op.create_table(
        "remarks",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("order_id", sa.Integer()),
        sa.Column("body", sa.Text()),
        sa.Column("counter", sa.BigInteger(), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE VIEW paid AS SELECT id, amount FROM orders WHERE is_paid")
        op.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
        op.execute("CREATE TABLE parts (id integer NOT NULL, day date NOT NULL, body text) PARTITION BY RANGE (day)")
        op.execute("CREATE TABLE parts_old PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO ('2030-01-01')")
        op.execute("CREATE TABLE parts_new (id integer NOT NULL, day date NOT NULL, body text,"
                   " CHECK (day >= '2030-01-01' AND day < '2040-01-01'))")
        op.execute("CREATE TABLE parts_raw (id integer NOT NULL, day date NOT NULL, body text)")


def downgrade():
    pass
"""

REVISION = '''"""{name}"""

import sqlalchemy as sa
from alembic import op

revision = "{id}"
down_revision = "start"


def upgrade():
{up}


def downgrade():
{down}
'''

ENVIRONMENT = """
import asyncio

from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config


def migrate(connection):
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


async def main():
    section = context.config.get_section(context.config.config_ini_section)
    engine = async_engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(main())
"""


@dataclass(frozen=True)
class Case:
    """One revision and what it should be found to do."""

    name: str
    up: str
    down: str
    postgresql: str | None
    sqlite: str | None

    def expected(self, dialect: str) -> frozenset[Effect] | None:
        letters = self.postgresql if dialect == "postgresql" else self.sqlite
        return None if letters is None else frozenset(LETTERS[one] for one in letters)


CASES: list[Case] = []


def pair(
    name: str,
    hazard: tuple[str, str, str | None, str | None],
    *safe: tuple[str, str, str | None, str | None],
) -> None:
    """Add a hazard and the revisions that only look like it: upgrade, downgrade, effects on each engine."""
    CASES.append(Case(f"{name}-hazard", *hazard))
    CASES.extend(Case(f"{name}-safe{number or ''}", *one) for number, one in enumerate(safe))


def write(directory: Path, dialect: str) -> dict[str, Case]:
    """Write an environment in which each case follows the same base, and return those of one engine by their ids."""
    versions = directory / "versions"
    versions.mkdir(parents=True)
    (directory / "env.py").write_text(ENVIRONMENT)
    (directory / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\n")
    (versions / "base.py").write_text(BASE)
    chosen: dict[str, Case] = {}
    for number, case in enumerate(one for one in CASES if one.expected(dialect) is not None):
        # The version table of Alembic has room for 32 characters.
        name = f"{number:03d}_{case.name.replace('-', '_')}"[:32]
        chosen[name] = case
        up, down = (indent(dedent(part).strip(), "    ") for part in (case.up, case.down))
        (versions / f"{name}.py").write_text(REVISION.format(name=case.name, id=name, up=up, down=down))
    return chosen


AUTO = "with op.get_context().autocommit_block():\n    "

pair(
    "index",
    ('op.create_index("ix", "orders", ["status"])', 'op.drop_index("ix", "orders")', "WS", None),
    (
        AUTO + 'op.create_index("ix", "orders", ["status"], postgresql_concurrently=True)',
        AUTO + 'op.drop_index("ix", "orders", postgresql_concurrently=True)',
        "",
        "",
    ),
    (
        'op.create_table("fresh", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("a", sa.Text()))\n'
        'op.create_index("ix", "fresh", ["a"])',
        'op.drop_table("fresh")',
        "",
        "",
    ),
)
pair(
    "index-in-do",
    (
        "op.execute(\"DO $$ BEGIN EXECUTE 'CREATE INDEX ix ON orders (status)'; END $$\")",
        'op.drop_index("ix")',
        "WS",
        None,
    ),
    (
        "op.execute(\"DO $$ BEGIN EXECUTE 'COMMENT ON TABLE orders IS ''x'''; END $$\")",
        'op.execute("COMMENT ON TABLE orders IS NULL")',
        "",
        None,
    ),
)
pair(
    "index-autocommit",
    (AUTO + 'op.create_index("ix", "orders", ["status"])', 'op.drop_index("ix", "orders")', "WS", None),
    (
        AUTO + 'op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix ON orders (status)")',
        'op.drop_index("ix")',
        "",
        None,
    ),
)
pair(
    "concurrently-in-transaction",
    ('op.create_index("ix", "orders", ["status"], postgresql_concurrently=True)', 'op.drop_index("ix")', "F", None),
    (
        AUTO + 'op.execute("DROP INDEX CONCURRENTLY ix_orders_placed_at")',
        'op.create_index("ix_orders_placed_at", "orders", ["placed_at"])',
        "",
        None,
    ),
)
pair(
    "reindex",
    ('op.execute("REINDEX TABLE orders")', "pass", "RWS", None),
    (AUTO + 'op.execute("REINDEX INDEX CONCURRENTLY ix_orders_placed_at")', "pass", "", None),
)
pair(
    "unique-constraint",
    ('op.create_unique_constraint("uq", "customers", ["email"])', 'op.drop_constraint("uq", "customers")', "RWS", None),
    (
        AUTO + 'op.execute("CREATE UNIQUE INDEX CONCURRENTLY uq ON customers (email)")\n'
        '    op.execute("ALTER TABLE customers ADD CONSTRAINT uq UNIQUE USING INDEX uq")',
        'op.drop_constraint("uq", "customers")',
        "",
        None,
    ),
)
pair(
    "unique-duplicates",
    ('op.create_index("uq", "orders", ["status"], unique=True)', 'op.drop_index("uq", "orders")', "F", "F"),
    (
        AUTO + 'op.create_index("uq", "customers", ["email"], unique=True, postgresql_concurrently=True)',
        'op.drop_index("uq", "customers")',
        "",
        "",
    ),
)
pair(
    "not-null-with-nulls",
    (
        'op.alter_column("orders", "status", nullable=False)',
        'op.alter_column("orders", "status", nullable=True)',
        "F",
        None,
    ),
    (
        'op.alter_column("customers", "code", nullable=False)',
        'op.alter_column("customers", "code", nullable=True)',
        "",
        None,
    ),
)
pair(
    "not-null-scan",
    (
        'op.execute("DELETE FROM remarks WHERE body IS NULL")\nop.alter_column("remarks", "body", nullable=False)',
        'op.alter_column("remarks", "body", nullable=True)',
        "RWSLI",
        None,
    ),
    (
        AUTO + 'op.execute("ALTER TABLE remarks ADD CONSTRAINT c CHECK (body IS NOT NULL) NOT VALID")\n'
        "    for _ in range(8):\n"
        "        op.execute(\"UPDATE remarks SET body = '' WHERE id IN (SELECT id FROM remarks WHERE body IS NULL LIMIT 50)\")\n"
        '    op.execute("ALTER TABLE remarks VALIDATE CONSTRAINT c")\n'
        '    op.alter_column("remarks", "body", nullable=False)\n'
        '    op.execute("ALTER TABLE remarks DROP CONSTRAINT c")',
        'op.alter_column("remarks", "body", nullable=True)',
        "",
        None,
    ),
)
pair(
    "check",
    ('op.create_check_constraint("c", "orders", "quantity > 0")', 'op.drop_constraint("c", "orders")', "RWS", None),
    (
        AUTO + 'op.execute("ALTER TABLE orders ADD CONSTRAINT c CHECK (quantity > 0) NOT VALID")\n'
        '    op.execute("ALTER TABLE orders VALIDATE CONSTRAINT c")',
        'op.drop_constraint("c", "orders")',
        "",
        None,
    ),
    (
        'op.execute("ALTER TABLE orders ADD CONSTRAINT c CHECK (quantity > 0) NOT VALID")',
        'op.drop_constraint("c", "orders")',
        "",
        None,
    ),
)
pair(
    "validate-in-same-transaction",
    (
        'op.execute("ALTER TABLE orders ADD CONSTRAINT c CHECK (quantity > 0) NOT VALID")\n'
        'op.execute("ALTER TABLE orders VALIDATE CONSTRAINT c")',
        'op.drop_constraint("c", "orders")',
        "RWS",
        None,
    ),
    (
        'op.execute("ALTER TABLE orders ADD CONSTRAINT c CHECK (quantity > 0) NOT VALID")\n'
        'with op.get_context().autocommit_block():\n    op.execute("ALTER TABLE orders VALIDATE CONSTRAINT c")',
        'op.drop_constraint("c", "orders")',
        "",
        None,
    ),
)
pair(
    "foreign-key",
    (
        'op.create_foreign_key("fk", "remarks", "orders", ["order_id"], ["id"])',
        'op.drop_constraint("fk", "remarks")',
        "WS",
        None,
    ),
    (
        AUTO + 'op.create_foreign_key("fk", "remarks", "orders", ["order_id"], ["id"], postgresql_not_valid=True)\n'
        '    op.execute("ALTER TABLE remarks VALIDATE CONSTRAINT fk")',
        'op.drop_constraint("fk", "remarks")',
        "",
        None,
    ),
    (
        'op.create_table("links", sa.Column("id", sa.Integer(), primary_key=True),\n'
        '    sa.Column("order_id", sa.Integer(), sa.ForeignKey("orders.id"), index=True))',
        'op.drop_table("links")',
        "",
        "",
    ),
)
pair(
    "primary-key-type",
    (
        'op.alter_column("remarks", "id", type_=sa.BigInteger(), existing_type=sa.Integer())',
        'op.alter_column("remarks", "id", type_=sa.Integer(), existing_type=sa.BigInteger())',
        "RWXS",
        None,
    ),
    (
        'op.alter_column("customers", "name", type_=sa.String(200), existing_type=sa.String(100))',
        'op.alter_column("customers", "name", type_=sa.String(100), existing_type=sa.String(200))',
        "",
        None,
    ),
    (
        'op.alter_column("customers", "name", type_=sa.Text(), existing_type=sa.String(100))',
        'op.alter_column("customers", "name", type_=sa.String(100), existing_type=sa.Text())',
        "",
        None,
    ),
)
pair(
    "narrowing-varchar",
    (
        'op.alter_column("customers", "name", type_=sa.String(10), existing_type=sa.String(100))',
        'op.alter_column("customers", "name", type_=sa.String(100), existing_type=sa.String(10))',
        "F",
        None,
    ),
    (
        'op.alter_column("customers", "credit", type_=sa.Numeric(14, 2), existing_type=sa.Numeric(12, 2))',
        'op.alter_column("customers", "credit", type_=sa.Numeric(12, 2), existing_type=sa.Numeric(14, 2))',
        "",
        None,
    ),
)
pair(
    "narrowing-integer",
    (
        'op.alter_column("remarks", "counter", type_=sa.Integer(), existing_type=sa.BigInteger())',
        'op.alter_column("remarks", "counter", type_=sa.BigInteger(), existing_type=sa.Integer())',
        "F",
        None,
    ),
    (
        'op.alter_column("remarks", "counter", server_default="0")',
        'op.alter_column("remarks", "counter", server_default=None)',
        "",
        None,
    ),
)
pair(
    "rounding",
    (
        'op.execute("ALTER TABLE customers ALTER credit TYPE bigint USING round(credit)")',
        'op.execute("ALTER TABLE customers ALTER credit TYPE numeric(12, 2)")',
        "RWXSLI",
        None,
    ),
    (
        "op.execute(\"COMMENT ON COLUMN customers.credit IS 'in euros'\")",
        'op.execute("COMMENT ON COLUMN customers.credit IS NULL")',
        "",
        None,
    ),
)
pair(
    "truncating",
    (
        'op.execute("ALTER TABLE customers ALTER name TYPE varchar(4) USING left(name, 4)")',
        'op.execute("ALTER TABLE customers ALTER name TYPE varchar(100)")',
        "RWXSLI",
        None,
    ),
    (
        'op.alter_column("customers", "name", new_column_name="full_name")',
        'op.alter_column("customers", "full_name", new_column_name="name")',
        "",
        "",
    ),
)
pair(
    "cast-that-fails",
    (
        'op.execute("ALTER TABLE customers ALTER email TYPE integer USING email::integer")',
        'op.execute("ALTER TABLE customers ALTER email TYPE varchar(200)")',
        "F",
        None,
    ),
    (
        "op.execute(\"ALTER TABLE tags ALTER state SET DEFAULT 'old'\")",
        "op.execute(\"ALTER TABLE tags ALTER state SET DEFAULT 'new'\")",
        "",
        None,
    ),
)
pair(
    "volatile-default",
    (
        'op.add_column("orders", sa.Column("token", sa.Uuid(), server_default=sa.text("gen_random_uuid()")))',
        'op.drop_column("orders", "token")',
        "RWXS",
        None,
    ),
    (
        'op.add_column("orders", sa.Column("seen_at", sa.DateTime(), server_default=sa.func.now()))',
        'op.drop_column("orders", "seen_at")',
        "",
        None,
    ),
    (
        'op.add_column("orders", sa.Column("flag", sa.Boolean(), nullable=False, server_default=sa.false()))',
        'op.drop_column("orders", "flag")',
        "",
        "",
    ),
)
pair(
    "add-not-null-column",
    (
        'op.add_column("orders", sa.Column("kind", sa.Text(), nullable=False))',
        'op.drop_column("orders", "kind")',
        "F",
        "F",
    ),
    ('op.add_column("orders", sa.Column("kind", sa.Text()))', 'op.drop_column("orders", "kind")', "", ""),
)
pair(
    "generated-column",
    (
        'op.add_column("orders", sa.Column("total", sa.Numeric(), sa.Computed("amount * quantity", persisted=True)))',
        'op.drop_column("orders", "total")',
        "RWXS",
        None,
    ),
    (
        'op.add_column("orders", sa.Column("total", sa.Numeric(), sa.Computed("amount * quantity", persisted=False)))',
        'op.drop_column("orders", "total")',
        "",
        "",
    ),
)
pair(
    "identity-column",
    ('op.execute("ALTER TABLE orders ADD COLUMN nr serial")', 'op.drop_column("orders", "nr")', "RWXS", None),
    ('op.execute("ALTER TABLE orders ADD COLUMN nr integer")', 'op.drop_column("orders", "nr")', "", ""),
)
pair(
    "backfill-with-column",
    (
        'op.add_column("orders", sa.Column("label", sa.Text()))\nop.execute("UPDATE orders SET label = \'x\' || id")',
        'op.drop_column("orders", "label")',
        "RWS",
        "",
    ),
    (
        AUTO + 'op.add_column("orders", sa.Column("label", sa.Text()))\n'
        "    while op.get_bind().execute(sa.text(\"UPDATE orders SET label = 'x' || id WHERE id IN \"\n"
        '            "(SELECT id FROM orders WHERE label IS NULL LIMIT 100)")).rowcount:\n        pass',
        'op.drop_column("orders", "label")',
        "",
        "",
    ),
)
pair(
    "backfill",
    ("op.execute(\"UPDATE orders SET status = 'none' WHERE status IS NULL\")", "pass", "W", None),
    ("op.execute(\"UPDATE orders SET status = 'none' WHERE id = 5 AND status IS NULL\")", "pass", "", ""),
    (
        AUTO + "for low in range(0, 1000, 100):\n"
        "        op.get_bind().execute(sa.text(\"UPDATE orders SET status = 'none' WHERE id >= :a AND id < :b AND status IS NULL\"),\n"
        '            {"a": low, "b": low + 100})',
        "pass",
        "",
        None,
    ),
)
pair(
    "loop-of-updates",
    (
        'bind = op.get_bind()\nfor row in bind.execute(sa.text("SELECT id FROM orders WHERE status IS NULL")).all():\n'
        '    bind.execute(sa.text("UPDATE orders SET status = \'none\' WHERE id = :i"), {"i": row[0]})',
        "pass",
        "W",
        None,
    ),
    (
        'bind = op.get_bind()\nfor row in bind.execute(sa.text("SELECT id FROM orders WHERE status IS NULL LIMIT 3")).all():\n'
        '    bind.execute(sa.text("UPDATE orders SET status = \'none\' WHERE id = :i"), {"i": row[0]})',
        "pass",
        "",
        "",
    ),
)
pair(
    "batches-in-one-transaction",
    (
        "while op.get_bind().execute(sa.text(\"UPDATE orders SET status = 'none' WHERE id IN \"\n"
        '        "(SELECT id FROM orders WHERE status IS NULL LIMIT 20)")).rowcount:\n    pass',
        "pass",
        "W",
        None,
    ),
    (
        AUTO + "while op.get_bind().execute(sa.text(\"UPDATE orders SET status = 'none' WHERE id IN \"\n"
        '            "(SELECT id FROM orders WHERE status IS NULL LIMIT 20)")).rowcount:\n        pass',
        "pass",
        "",
        "",
    ),
)
pair(
    "backfill-in-do",
    (
        'op.execute("DO $$ DECLARE r record; BEGIN FOR r IN SELECT id FROM orders LOOP '
        "UPDATE orders SET note = coalesce(note, '') WHERE id = r.id; END LOOP; END $$\")",
        "pass",
        "W",
        None,
    ),
    (
        AUTO + "op.execute(\"DO $$ DECLARE n integer; BEGIN LOOP UPDATE orders SET note = '' WHERE id IN "
        "(SELECT id FROM orders WHERE note IS NULL LIMIT 20); GET DIAGNOSTICS n = ROW_COUNT; COMMIT; EXIT WHEN n = 0; "
        'END LOOP; END $$")',
        "pass",
        "",
        None,
    ),
)
pair(
    "delete",
    ('op.execute("DELETE FROM remarks WHERE id % 2 = 0")', "pass", "WLI", "LI"),
    ('op.execute("DELETE FROM remarks WHERE id < 0")', "pass", "", ""),
)
pair(
    "truncate",
    ('op.execute("TRUNCATE remarks")', "pass", "LI", None),
    (
        'op.execute("ANALYZE remarks")',
        "pass",
        "",
        "",
    ),
)
pair(
    "drop-table",
    (
        'op.drop_table("tags")',
        'op.create_table("tags", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.String(50), nullable=False),\n'
        '    sa.Column("state", sa.String(10), nullable=False, server_default="new"))',
        "LI",
        "LI",
    ),
    ('op.rename_table("tags", "labels")', 'op.rename_table("labels", "tags")', "", ""),
)
pair(
    "drop-column",
    ('op.drop_column("customers", "bio")', 'op.add_column("customers", sa.Column("bio", sa.Text()))', "LI", "LI"),
    (
        'op.add_column("customers", sa.Column("extra", sa.Text()))\nop.drop_column("customers", "extra")',
        "pass",
        "",
        "",
    ),
)
pair(
    "move-column",
    (
        'op.add_column("customers", sa.Column("about", sa.Text()))\nop.execute("UPDATE customers SET about = bio")\n'
        'op.drop_column("customers", "bio")',
        'op.add_column("customers", sa.Column("bio", sa.Text()))\nop.execute("UPDATE customers SET bio = about")\n'
        'op.drop_column("customers", "about")',
        "RWS",
        "",
    ),
    (
        'op.alter_column("customers", "bio", new_column_name="about")',
        'op.alter_column("customers", "about", new_column_name="bio")',
        "",
        "",
    ),
)
pair(
    "no-downgrade",
    ('op.add_column("tags", sa.Column("x", sa.Text()))', "raise NotImplementedError", "I", "I"),
    ('op.add_column("tags", sa.Column("x", sa.Text()))', 'op.drop_column("tags", "x")', "", ""),
)
pair(
    "empty-downgrade",
    ('op.create_table("t", sa.Column("id", sa.Integer(), primary_key=True))', "pass", "IN", "IN"),
    ("pass", "pass", "", ""),
)
pair(
    "downgrade-forgets",
    (
        'op.create_index("ix2", "tags", ["name"])\nop.drop_index("ix2", "tags")\nop.add_column("tags", sa.Column("a", sa.Text()))\n'
        'op.add_column("tags", sa.Column("b", sa.Text()))',
        'op.drop_column("tags", "a")',
        None,
        "IN",
    ),
    (
        'op.add_column("tags", sa.Column("a", sa.Text()))\nop.add_column("tags", sa.Column("b", sa.Text()))',
        'op.drop_column("tags", "b")\nop.drop_column("tags", "a")',
        "",
        "",
    ),
)
pair(
    "enum-left-behind",
    (
        'op.create_table("e", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("s", sa.Enum("a", "b", name="letter")))',
        'op.drop_table("e")',
        "IN",
        None,
    ),
    (
        'op.create_table("e", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("s", sa.Enum("a", "b", name="letter")))',
        'op.drop_table("e")\nsa.Enum(name="letter").drop(op.get_bind(), checkfirst=True)',
        "",
        "",
    ),
)
pair(
    "rows-left-behind",
    ("op.execute(\"INSERT INTO tags (name, state) VALUES ('fresh', 'new')\")", "pass", "IN", "IN"),
    (
        "op.execute(\"INSERT INTO tags (name, state) VALUES ('fresh', 'new')\")",
        "op.execute(\"DELETE FROM tags WHERE name = 'fresh'\")",
        "",
        "",
    ),
)
pair(
    "values-not-restored",
    ("op.execute(\"UPDATE customers SET email = 'x' || email WHERE id <= 10\")", "pass", "I", "I"),
    (
        "op.execute(\"UPDATE customers SET email = 'x' || email WHERE id <= 10\")",
        'op.execute("UPDATE customers SET email = substr(email, 2) WHERE id <= 10")',
        "",
        "",
    ),
)
pair(
    "emptied",
    ('op.execute("UPDATE remarks SET body = NULL WHERE id <= 15")', "pass", "LI", "LI"),
    ('op.execute("UPDATE remarks SET body = body WHERE id <= 15")', "pass", "", ""),
)
pair(
    "overwritten",
    ("op.execute(\"UPDATE customers SET email = 'none@example.com'\")", "pass", "WLI", "LI"),
    ('op.execute("UPDATE customers SET email = email WHERE id = 1")', "pass", "", ""),
)
pair(
    "lock-table",
    (
        'op.execute("LOCK TABLE tags IN ACCESS EXCLUSIVE MODE")\nop.execute("SELECT count(*) FROM orders")',
        "pass",
        "RWS",
        None,
    ),
    ('op.execute("LOCK TABLE tags IN ACCESS EXCLUSIVE MODE")', "pass", "", None),
)
pair(
    "share-lock",
    (
        'op.execute("LOCK TABLE tags IN SHARE MODE")\nop.execute("UPDATE tags SET state = \'x\' WHERE id < 0")',
        "pass",
        "WS",
        None,
    ),
    (
        'op.execute("LOCK TABLE tags IN ROW EXCLUSIVE MODE")\nop.execute("SELECT count(*) FROM orders")',
        "pass",
        "",
        None,
    ),
)
pair(
    "cluster",
    (
        'op.execute("CLUSTER orders USING ix_orders_placed_at")',
        'op.execute("ALTER TABLE orders SET WITHOUT CLUSTER")',
        "RWXS",
        None,
    ),
    (
        'op.execute("ALTER TABLE orders CLUSTER ON ix_orders_placed_at")',
        'op.execute("ALTER TABLE orders SET WITHOUT CLUSTER")',
        "",
        None,
    ),
)
pair(
    "vacuum-full",
    (AUTO + 'op.execute("VACUUM FULL orders")', "pass", "RWXS", None),
    (AUTO + 'op.execute("VACUUM orders")', "pass", "", None),
)
pair(
    "vacuum-in-transaction",
    ('op.execute("VACUUM orders")', "pass", "F", None),
    (AUTO + 'op.execute("VACUUM (ANALYZE) orders")', "pass", "", None),
)
pair(
    "enum-value-used-at-once",
    ("op.execute(\"ALTER TYPE mood ADD VALUE 'ugly'\")\nop.execute(\"SELECT 'ugly'::mood\")", "pass", "F", None),
    (AUTO + "op.execute(\"ALTER TYPE mood ADD VALUE IF NOT EXISTS 'ugly'\")", "raise NotImplementedError", "I", None),
)
pair(
    "drop-viewed-column",
    ('op.drop_column("orders", "amount")', "pass", "F", None),
    (
        'op.execute("DROP VIEW paid")',
        'op.execute("CREATE VIEW paid AS SELECT id, amount FROM orders WHERE is_paid")',
        "",
        None,
    ),
)
pair(
    "missing-table",
    ('op.add_column("nothing", sa.Column("a", sa.Text()))', "pass", "F", "F"),
    ('op.execute("DROP TABLE IF EXISTS nothing")', "pass", "", ""),
)
pair(
    "other-engine",
    (
        "op.execute(\"ALTER TABLE orders ALTER COLUMN note SET DEFAULT ''\")",
        'op.execute("ALTER TABLE orders ALTER COLUMN note DROP DEFAULT")',
        "",
        "F",
    ),
    ('op.execute("PRAGMA user_version")', "pass", None, ""),
)
pair(
    "trigger-then-work",
    (
        'op.execute("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$")\n'
        'op.execute("CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f()")\n'
        'op.execute("SELECT sum(amount) FROM orders")',
        'op.execute("DROP TRIGGER t ON orders")\nop.execute("DROP FUNCTION f()")',
        "WS",
        None,
    ),
    (
        'op.execute("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$")\n'
        'op.execute("CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f()")',
        'op.execute("DROP TRIGGER t ON orders")\nop.execute("DROP FUNCTION f()")',
        "",
        None,
    ),
)
pair(
    "row-security",
    (
        'op.execute("ALTER TABLE orders ENABLE ROW LEVEL SECURITY")\nop.execute("UPDATE orders SET note = \'\' WHERE note IS NULL")',
        'op.execute("ALTER TABLE orders DISABLE ROW LEVEL SECURITY")',
        "RWS",
        None,
    ),
    (
        'op.execute("ALTER TABLE orders ENABLE ROW LEVEL SECURITY")',
        'op.execute("ALTER TABLE orders DISABLE ROW LEVEL SECURITY")',
        "",
        None,
    ),
)
pair(
    "attach-partition",
    (
        "op.execute(\"DELETE FROM parts_raw WHERE day < '2040-01-01'\")\n"
        "op.execute(\"INSERT INTO parts_raw SELECT n, '2041-01-01' FROM generate_series(1, 500) n\")\n"
        "op.execute(\"ALTER TABLE parts ATTACH PARTITION parts_raw FOR VALUES FROM ('2040-01-01') TO ('2050-01-01')\")",
        'op.execute("ALTER TABLE parts DETACH PARTITION parts_raw")',
        None,
        None,
    ),
    (
        "op.execute(\"ALTER TABLE parts ATTACH PARTITION parts_new FOR VALUES FROM ('2030-01-01') TO ('2040-01-01')\")",
        'op.execute("ALTER TABLE parts DETACH PARTITION parts_new")',
        "",
        None,
    ),
)
pair(
    "copy-table-while-locked",
    (
        'op.execute("ALTER TABLE orders ADD COLUMN z text")\nop.execute("CREATE TABLE copied AS SELECT * FROM remarks")',
        'op.drop_table("copied")\nop.drop_column("orders", "z")',
        "RWS",
        None,
    ),
    ('op.execute("CREATE TABLE copied AS SELECT * FROM remarks")', 'op.drop_table("copied")', "", ""),
)
pair(
    "two-tables",
    (
        'op.add_column("orders", sa.Column("a", sa.Text()))\nop.create_index("ix_t", "tags", ["name"])',
        'op.drop_index("ix_t", "tags")\nop.drop_column("orders", "a")',
        "RWS",
        None,
    ),
    (
        'op.add_column("orders", sa.Column("a", sa.Text()))\nop.add_column("tags", sa.Column("a", sa.Text()))',
        'op.drop_column("tags", "a")\nop.drop_column("orders", "a")',
        "",
        "",
    ),
)
pair(
    "unlogged",
    ('op.execute("ALTER TABLE remarks SET UNLOGGED")', 'op.execute("ALTER TABLE remarks SET LOGGED")', "RWXS", None),
    (
        'op.execute("ALTER TABLE remarks SET (fillfactor = 90)")',
        'op.execute("ALTER TABLE remarks RESET (fillfactor)")',
        "",
        None,
    ),
)
pair(
    "view-rename",
    (
        'op.rename_table("tags", "labels")\nop.execute("CREATE VIEW tags AS SELECT * FROM labels")\n'
        "op.execute(\"UPDATE labels SET state = 'x' || state\")",
        'op.execute("UPDATE labels SET state = substr(state, 2)")\nop.execute("DROP VIEW tags")\nop.rename_table("labels", "tags")',
        "RWS",
        "",
    ),
    (
        'op.rename_table("tags", "labels")\nop.execute("CREATE VIEW tags AS SELECT * FROM labels")',
        'op.execute("DROP VIEW tags")\nop.rename_table("labels", "tags")',
        "",
        "",
    ),
)
pair(
    "batch-type",
    (
        'with op.batch_alter_table("customers") as batch:\n    batch.alter_column("name", type_=sa.String(150), existing_type=sa.String(100))',
        'with op.batch_alter_table("customers") as batch:\n    batch.alter_column("name", type_=sa.String(100), existing_type=sa.String(150))',
        "",
        "X",
    ),
    (
        'with op.batch_alter_table("customers") as batch:\n    batch.add_column(sa.Column("nick", sa.Text()))',
        'op.drop_column("customers", "nick")',
        "",
        "",
    ),
)
pair(
    "batch-not-null",
    (
        'with op.batch_alter_table("orders") as batch:\n    batch.alter_column("status", existing_type=sa.String(20), nullable=False)',
        'with op.batch_alter_table("orders") as batch:\n    batch.alter_column("status", existing_type=sa.String(20), nullable=True)',
        "F",
        "F",
    ),
    (
        'with op.batch_alter_table("tags") as batch:\n    batch.create_index("ix_tags_name", ["name"])',
        'op.drop_index("ix_tags_name", "tags")',
        None,
        "",
    ),
)
pair(
    "batch-constraint",
    (
        'with op.batch_alter_table("customers") as batch:\n    batch.create_unique_constraint("uq_email", ["email"])',
        'with op.batch_alter_table("customers") as batch:\n    batch.drop_constraint("uq_email", type_="unique")',
        "RWS",
        "X",
    ),
    (
        'op.create_index("uq_email", "customers", ["email"], unique=True)',
        'op.drop_index("uq_email", "customers")',
        None,
        "",
    ),
)
pair(
    "rebuild-by-hand",
    (
        'op.create_table("tags_new", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.Text(), nullable=False),\n'
        '    sa.Column("state", sa.String(10), nullable=False, server_default="new"))\n'
        'op.execute("INSERT INTO tags_new SELECT id, name, state FROM tags")\nop.drop_table("tags")\nop.rename_table("tags_new", "tags")',
        'op.create_table("tags_new", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.String(50), nullable=False),\n'
        '    sa.Column("state", sa.String(10), nullable=False, server_default="new"))\n'
        'op.execute("INSERT INTO tags_new SELECT id, name, state FROM tags")\nop.drop_table("tags")\nop.rename_table("tags_new", "tags")',
        None,
        "X",
    ),
    (
        'op.create_table("tags_new", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.Text(), nullable=False))\n'
        'op.execute("INSERT INTO tags_new SELECT id, name FROM tags")',
        'op.drop_table("tags_new")',
        "",
        "",
    ),
)
pair(
    "batch-drops-column",
    (
        'with op.batch_alter_table("remarks") as batch:\n    batch.drop_column("body")',
        'with op.batch_alter_table("remarks") as batch:\n    batch.add_column(sa.Column("body", sa.Text()))',
        "LI",
        "XLI",
    ),
    (
        'with op.batch_alter_table("remarks") as batch:\n    batch.add_column(sa.Column("title", sa.Text()))',
        'op.drop_column("remarks", "title")',
        "",
        "",
    ),
)
pair(
    "split-table",
    (
        'op.create_table("profiles", sa.Column("customer_id", sa.Integer(), primary_key=True), sa.Column("bio", sa.Text()))\n'
        'op.drop_column("customers", "bio")',
        'op.add_column("customers", sa.Column("bio", sa.Text()))\nop.drop_table("profiles")',
        "LI",
        "LI",
    ),
    (
        'op.create_table("profiles", sa.Column("customer_id", sa.Integer(), primary_key=True), sa.Column("bio", sa.Text()))\n'
        'op.execute("INSERT INTO profiles SELECT id, bio FROM customers")\nop.drop_column("customers", "bio")',
        'op.add_column("customers", sa.Column("bio", sa.Text()))\n'
        'op.execute("UPDATE customers SET bio = (SELECT p.bio FROM profiles p WHERE p.customer_id = customers.id)")\n'
        'op.drop_table("profiles")',
        "",
        "",
    ),
)
pair(
    "archive-rows",
    ('op.execute("DELETE FROM remarks WHERE id > 3 AND id < 9")', "pass", "LI", "LI"),
    (
        'op.execute("CREATE TABLE archive AS SELECT * FROM remarks WHERE id > 3 AND id < 9")\n'
        'op.execute("DELETE FROM remarks WHERE id > 3 AND id < 9")',
        'op.execute("INSERT INTO remarks SELECT * FROM archive")\nop.drop_table("archive")',
        "",
        "",
    ),
)
pair(
    "materialized-view",
    (
        'op.execute("CREATE MATERIALIZED VIEW totals AS SELECT sum(amount) FROM orders")\nop.create_index("ix_p", "tags", ["state"])',
        'op.drop_index("ix_p", "tags")\nop.execute("DROP MATERIALIZED VIEW totals")',
        "WS",
        None,
    ),
    (
        'op.execute("CREATE MATERIALIZED VIEW totals AS SELECT sum(amount) FROM orders")',
        'op.execute("DROP MATERIALIZED VIEW totals")',
        "",
        None,
    ),
)
pair(
    "primary-key-added",
    (
        'op.execute("ALTER TABLE parts_raw ADD COLUMN nr integer")\n'
        'op.execute("UPDATE parts_raw SET nr = id")\n'
        'op.create_primary_key("pk_raw", "parts_raw", ["id", "day"])',
        'op.drop_constraint("pk_raw", "parts_raw")\nop.drop_column("parts_raw", "nr")',
        "RWS",
        None,
    ),
    (
        'op.create_table("p", sa.Column("id", sa.Integer()))\nop.create_primary_key("pk_p", "p", ["id"])',
        'op.drop_table("p")',
        "",
        None,
    ),
)
