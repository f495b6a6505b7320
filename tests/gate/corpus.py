"""Pairs of revisions that look alike: one with a hazard, one without, and what each does to whom.

Effects are written as letters: R blocks reads, W blocks writes, X rewrites a table, S scans fully under a lock,
L loses data, I irreversible, F fails, N not rerunnable, B breaks the previous release as far as rehearsals tell.
None: not for this engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

from tbcv.findings import Effect
from tbcv.migrate.location import AlembicEnvironment, read_environment

PAIRS = Path(__file__).with_name("pairs.txt")
LETTERS = {
    "R": Effect.BLOCKS_READS,
    "W": Effect.BLOCKS_WRITES,
    "X": Effect.REWRITES_TABLE,
    "S": Effect.FULL_SCAN_UNDER_LOCK,
    "L": Effect.LOSES_DATA,
    "I": Effect.IRREVERSIBLE,
    "F": Effect.FAILS,
    "N": Effect.NOT_RERUNNABLE,
    "B": Effect.BREAKS_PREVIOUS_RELEASE,
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
    op.create_table("albums", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("title", sa.String(40)))
    op.create_table(
        "photos",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("album_id", sa.Integer(), sa.ForeignKey("albums.id", name="photos_album"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("meta", sa.JSON()),
        sa.UniqueConstraint("album_id", "position", name="photos_position"),
    )
    op.create_table(
        "jottings",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("order_id", sa.Integer()),
        sa.Column("body", sa.Text()),
        sa.Column("is_pinned", sa.Boolean()),
    )
    op.create_table(
        "tickets",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("size", sa.Text()),
    )
    op.create_table(
        "loans",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("lent_on", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date()),
        sa.Column("returned_on", sa.Date()),
        sa.Column("noted_on", sa.Date()),
    )
    op.create_table(
        "contacts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(200), nullable=False),
        sa.UniqueConstraint("tenant_id", "email", name="contacts_email"),
    )
    op.create_table("sums", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("total", sa.Integer()))
    op.create_table(
        "moves",
        sa.Column("code", sa.String(10), primary_key=True),
        sa.Column("sum_id", sa.Integer()),
        sa.Column("amount", sa.Integer()),
        sa.Column("fee", sa.Integer()),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE FUNCTION add() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                   " UPDATE sums SET total = total + NEW.amount WHERE id = NEW.sum_id; RETURN NEW; END $$")
        op.execute("CREATE TRIGGER moves_added AFTER INSERT ON moves FOR EACH ROW EXECUTE FUNCTION add()")
        op.execute("CREATE VIEW paid AS SELECT id, amount FROM orders WHERE is_paid")
        op.execute("GRANT SELECT ON paid TO PUBLIC")
        op.execute("ALTER TABLE tickets ADD tags text[]")
        op.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
        op.execute("CREATE DOMAIN remark AS text")
        op.execute("CREATE TABLE guests (id integer PRIMARY KEY, said remark)")
        op.execute("CREATE TABLE parts (id integer NOT NULL, day date NOT NULL, body text) PARTITION BY RANGE (day)")
        op.execute("CREATE TABLE parts_old PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO ('2030-01-01')")
        op.execute("CREATE TABLE parts_new (id integer NOT NULL, day date NOT NULL, body text,"
                   " CHECK (day >= '2030-01-01' AND day < '2040-01-01'))")
        op.execute("CREATE TABLE dated (id integer NOT NULL, day date NOT NULL) PARTITION BY RANGE (day)")
        op.execute("CREATE TABLE dated_rest PARTITION OF dated DEFAULT")
        op.execute("CREATE TABLE parts_raw (id integer NOT NULL, day date NOT NULL, body text)")
    else:
        op.execute("CREATE TRIGGER moves_added AFTER INSERT ON moves BEGIN"
                   " UPDATE sums SET total = total + NEW.amount WHERE id = NEW.sum_id; END")
        op.execute("CREATE TABLE drawers (id integer PRIMARY KEY, label varchar(20))")
        op.execute("CREATE TABLE emptied (drawer_id integer)")
        op.execute("CREATE TRIGGER drawers_emptied AFTER DELETE ON drawers BEGIN"
                   " INSERT INTO emptied VALUES (OLD.id); END")


def downgrade():
    pass
"""

REVISION = """# {name}

import sqlalchemy as sa
from alembic import op
{head}
revision = "{id}"
down_revision = "start"


def upgrade():
{up}


def downgrade():
{down}
"""

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


def blocks(path: Path) -> list[tuple[str, str, str]]:
    """Read a file of revisions: the head of each, its upgrade and its downgrade."""
    found = []
    for block in path.read_text(encoding="utf-8").split("\n=== ")[2:]:
        head, _, body = block.partition("\n")
        up, _, down = body.partition("\n---\n")
        found.append((head, up, down))
    return found


def cases() -> list[Case]:
    """Read the corpus."""
    found = []
    for head, up, down in blocks(PAIRS):
        name, _, postgresql, _, sqlite = head.split()
        found.append(Case(name, up, down, _letters(postgresql), _letters(sqlite)))
    return found


def _letters(text: str) -> str | None:
    return None if text == "-" else text.replace("none", "")


def environment(directory: Path, revisions: Mapping[str, str], env: str = ENVIRONMENT) -> AlembicEnvironment:
    """Write an Alembic environment of revisions that are given by their names, and read it."""
    versions = directory / "versions"
    versions.mkdir(parents=True)
    (directory / "env.py").write_text(env)
    (directory / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\n")
    for name, text in revisions.items():
        (versions / f"{name}.py").write_text(text)
    return read_environment(directory / "alembic.ini")


def write(directory: Path, dialect: str) -> tuple[AlembicEnvironment, dict[str, Case]]:
    """Write an environment in which each case of one engine follows the same base; returns the cases by their ids."""
    chosen: dict[str, Case] = {}
    texts = {"start": BASE}
    for number, case in enumerate(one for one in cases() if one.expected(dialect) is not None):
        # The version table of Alembic has room for 32 characters.
        name = f"{number:03d}_{case.name.replace('-', '_')}"[:32]
        chosen[name] = case
        texts[name] = revision(name, case.up, case.down)
    return environment(directory, texts), chosen


def revision(name: str, up: str, down: str = "pass", head: str = "") -> str:
    """Return the text of a revision that follows the base."""
    bodies = {"up": indent(dedent(up).strip(), "    "), "down": indent(dedent(down).strip(), "    ")}
    return REVISION.format(id=name, name=name, head=head, **bodies)
