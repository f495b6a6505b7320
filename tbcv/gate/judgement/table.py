"""The table of hazards, in the order of the documentation."""

from __future__ import annotations

from typing import Final

from tbcv.findings import Effect, Severity
from tbcv.gate.judgement.hazard import Hazard

_READS, _WRITES = Effect.BLOCKS_READS, Effect.BLOCKS_WRITES
_SCAN, _REWRITE = Effect.FULL_SCAN_UNDER_LOCK, Effect.REWRITES_TABLE
_POSTGRESQL = ("postgresql",)


HAZARDS: Final[tuple[Hazard, ...]] = (
    Hazard(
        code="blocking-index-build",
        severity=Severity.ERROR,
        effects=(_WRITES, _SCAN),
        title="Index built while nobody can write",
        observed="A SHARE lock on a table from before the revision, while an index on it is built.",
        why="Every INSERT, UPDATE and DELETE on the table waits until the whole table has been read and sorted.",
        hint="build it CONCURRENTLY, in an autocommit block",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_status", "orders", postgresql_concurrently=True, if_exists=True)
        op.create_index("ix_orders_status", "orders", ["status"], postgresql_concurrently=True)


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_status", "orders", postgresql_concurrently=True)
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="table-rewrite",
        severity=Severity.ERROR,
        effects=(_READS, _WRITES, _REWRITE, _SCAN),
        title="Table written anew under an exclusive lock",
        observed="The file of a table from before the revision is another one afterwards, and the table was locked "
        "exclusively meanwhile: a change of type, a volatile default, a stored generated column, VACUUM FULL, CLUSTER.",
        why="Nobody can even read the table until every row has been copied and every index built again.",
        hint="add a second column, fill it in batches, and let a later release use it instead of the old one",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        op.add_column("orders", sa.Column("amount_in_cents", sa.BigInteger()), if_not_exists=True)
        batch = sa.text(
            "UPDATE orders SET amount_in_cents = round(amount * 100) WHERE id IN (SELECT id FROM orders "
            "WHERE amount_in_cents IS NULL AND amount IS NOT NULL LIMIT 1000)"
        )
        while op.get_bind().execute(batch).rowcount:
            pass


def downgrade():
    op.drop_column("orders", "amount_in_cents")
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="constraint-validated-under-lock",
        severity=Severity.ERROR,
        effects=(_READS, _WRITES, _SCAN),
        title="Constraint checked against all rows under a lock",
        observed="A new constraint, NOT NULL among them, on a table from before the revision, whose rows were read "
        "while others could not write, or not even read.",
        why="The lock that adds the constraint is held until the last row has been checked; a foreign key locks the "
        "other table, too.",
        hint="add it NOT VALID, then VALIDATE it in a revision of its own; a unique one takes a finished index",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        # The release that runs by now writes the new column; the older rows are filled in.
        op.add_column("orders", sa.Column("placed_on", sa.Date()), if_not_exists=True)
        batch = sa.text(
            "UPDATE orders SET placed_on = coalesce(placed_at, '2000-01-01') WHERE id IN "
            "(SELECT id FROM orders WHERE placed_on IS NULL LIMIT 1000)"
        )
        while op.get_bind().execute(batch).rowcount:
            pass
        op.execute("ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_placed")
        op.execute("ALTER TABLE orders ADD CONSTRAINT orders_placed CHECK (placed_on IS NOT NULL) NOT VALID")
        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT orders_placed")
        op.alter_column("orders", "placed_on", nullable=False)
        op.execute("ALTER TABLE orders DROP CONSTRAINT orders_placed")


def downgrade():
    op.drop_column("orders", "placed_on")
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="scan-under-lock",
        severity=Severity.ERROR,
        effects=(_READS, _WRITES, _SCAN),
        title="Rows read or changed under a lock of the same statement",
        observed="A statement that locks a table from before the revision against writers and reads its rows: LOCK "
        "TABLE with work in a block, ATTACH PARTITION, REFRESH MATERIALIZED VIEW, a block that alters and updates.",
        why="Others wait as long as the rows are many.",
        hint="do the work before the lock or after it, in a transaction of its own",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        op.add_column("orders", sa.Column("priority", sa.Integer(), server_default="0"))


def downgrade():
    op.drop_column("orders", "priority")
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="lock-held-during-work",
        severity=Severity.ERROR,
        effects=(_READS, _WRITES, _SCAN),
        title="Lock of an earlier statement held over a backfill or a scan",
        observed="A lock that an earlier statement of the transaction took is still held while a later one works "
        "through the rows of any table.",
        why="A lock is released at the end of its transaction, not of its statement: a column that is added in a "
        "millisecond keeps everybody out for the whole backfill behind it.",
        hint="give the schema change and the backfill transactions, or revisions, of their own",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        op.add_column("orders", sa.Column("label", sa.Text()), if_not_exists=True)
        batch = sa.text(
            "UPDATE orders SET label = 'order ' || id WHERE id IN "
            "(SELECT id FROM orders WHERE label IS NULL LIMIT 1000)"
        )
        while op.get_bind().execute(batch).rowcount:
            pass


def downgrade():
    op.drop_column("orders", "label")
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="unbatched-backfill",
        severity=Severity.ERROR,
        effects=(_WRITES,),
        title="One transaction changes a large part of a table",
        observed="The rows of a table that one transaction updates or deletes, in one statement or in many.",
        why="Each changed row stays locked to the end of the transaction: whoever wants to change one of them waits, "
        "dead rows cannot be cleaned up meanwhile, and a failure near the end undoes it all.",
        hint="change some thousand rows at a time, each batch in a transaction of its own (autocommit block)",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        op.add_column("orders", sa.Column("state", sa.String(20)), if_not_exists=True)
        batch = sa.text(
            "UPDATE orders SET state = coalesce(status, 'unknown') WHERE id IN "
            "(SELECT id FROM orders WHERE state IS NULL LIMIT 1000)"
        )
        while op.get_bind().execute(batch).rowcount:
            pass


def downgrade():
    op.drop_column("orders", "state")
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="several-tables-locked",
        severity=Severity.NOTE,
        effects=(),
        title="Several tables locked in one transaction",
        observed="Exclusive locks on more than one table from before the revision, taken by different statements of "
        "one transaction.",
        why="The first lock is held while the second one is waited for, and a client that takes them in another order "
        "makes a deadlock.",
        hint="a revision per table keeps each lock short",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        op.add_column("orders", sa.Column("source", sa.Text()), if_not_exists=True)
        op.add_column("customers", sa.Column("source", sa.Text()), if_not_exists=True)


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_column("customers", "source", if_exists=True)
        op.drop_column("orders", "source", if_exists=True)
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="data-loss",
        severity=Severity.ERROR,
        effects=(Effect.LOSES_DATA,),
        title="Rows or values are gone",
        observed="Rows and values that are not NULL before the upgrade and are nowhere afterwards, be it under another "
        "name, in another table or of another type.",
        why="No downgrade brings them back.",
        hint="stop using it in one release, drop it in a later one, and acknowledge that with a waiver",
        recipe="""\
def upgrade():
    op.alter_column("orders", "note", new_column_name="retired_note")


def downgrade():
    op.alter_column("orders", "retired_note", new_column_name="note")
""",
    ),
    Hazard(
        code="irreversible",
        severity=Severity.ERROR,
        effects=(Effect.IRREVERSIBLE, Effect.NOT_RERUNNABLE),
        title="The downgrade does not restore what was",
        observed="Schema snapshot, rows or privileges before the upgrade and after the downgrade differ, or the "
        "downgrade raises. Where what it leaves stops the next upgrade, that is said with it.",
        why="A release that misbehaves cannot be taken back.",
        hint="write the downgrade as the mirror of the upgrade, in the reverse order",
        recipe="""\
def upgrade():
    op.add_column("orders", sa.Column("channel", sa.String(20)))
    op.create_table("channels", sa.Column("code", sa.String(20), primary_key=True))


def downgrade():
    op.drop_table("channels")
    op.drop_column("orders", "channel")
""",
    ),
    Hazard(
        code="not-rerunnable",
        severity=Severity.ERROR,
        effects=(Effect.NOT_RERUNNABLE,),
        title="The upgrade does not work a second time",
        observed="After an upgrade that failed, the next one fails for what the first has left, passes over it, or "
        "does again what was done. Or after a downgrade the upgrade fails, or leads to another schema or number of "
        "rows. On SQLite the driver commits a change of the schema at once, unless `env.py` begins the transaction "
        "itself, as tbcv's does: the copy that batch mode makes stays behind.",
        why="Who goes back and forth, as every deployment that is retried does, is stuck halfway.",
        hint="let nothing of a revision remain that fails or is reverted: types, sequences and rows, invalid indexes",
        recipe="""\
def upgrade():
    op.create_table(
        "shipments",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("state", sa.Enum("packed", "sent", name="shipment_state")),
    )


def downgrade():
    op.drop_table("shipments")
    sa.Enum(name="shipment_state").drop(op.get_bind(), checkfirst=True)
""",
    ),
    Hazard(
        code="cut-short",
        severity=Severity.ERROR,
        effects=(Effect.NOT_RERUNNABLE,),
        title="A revision that is cut short cannot begin again",
        observed="The upgrade fails, or leads to other rows, where an earlier one ended after it had committed "
        "something, and before its end.",
        why="A process that is killed there, or a lock that it does not get in time, leaves a database that no "
        "deployment brings forward.",
        hint="give what commits by itself a revision of its own, or let it stand being done again: IF NOT EXISTS, or "
        "a DROP IF EXISTS before it",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_amount", "orders", postgresql_concurrently=True, if_exists=True)
        op.create_index("ix_orders_amount", "orders", ["amount"], postgresql_concurrently=True)
    op.add_column("orders", sa.Column("weight", sa.Float()))


def downgrade():
    op.drop_column("orders", "weight")
    op.drop_index("ix_orders_amount", "orders")
""",
    ),
    Hazard(
        code="unguarded-index-build",
        severity=Severity.WARNING,
        tolerable=True,
        effects=(Effect.NOT_RERUNNABLE,),
        title="A concurrent index build that cannot begin again",
        observed="CREATE INDEX CONCURRENTLY in a project whose `env.py` does not let tbcv migrate: where the process "
        "ended before the revision was recorded, the next upgrade fails, or keeps an index that was marked as "
        "PostgreSQL marks one whose build was cut short.",
        why="A build that is cut short leaves its index behind: no query uses it, and every write keeps it up. The "
        "next attempt stumbles over it, or passes it over with IF NOT EXISTS, until somebody drops it by hand.",
        hint="drop it first, if it exists: IF NOT EXISTS alone would keep an invalid one",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_status", "orders", postgresql_concurrently=True, if_exists=True)
        op.create_index("ix_orders_status", "orders", ["status"], postgresql_concurrently=True)


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_status", "orders", postgresql_concurrently=True)
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="fails",
        severity=Severity.ERROR,
        effects=(Effect.FAILS,),
        title="The upgrade fails",
        observed="The upgrade raises, with rows in the tables and without.",
        why="It will stop the deployment.",
        hint="correct the line that is named",
        recipe="""\
def upgrade():
    op.add_column("orders", sa.Column("colour", sa.Text()))


def downgrade():
    op.drop_column("orders", "colour")
""",
    ),
    Hazard(
        code="fails-on-existing-data",
        severity=Severity.ERROR,
        effects=(Effect.FAILS,),
        title="The upgrade fails on rows that are allowed today",
        observed="The upgrade succeeds in an empty database and raises in one whose rows satisfy every present "
        "constraint: rows of all kinds, and those that a new foreign key or CHECK refuses.",
        why="It passes every test and fails in production.",
        hint="repair the rows first, in batches, or give a new column a default",
        recipe="""\
def upgrade():
    op.add_column("orders", sa.Column("currency", sa.String(3), nullable=False, server_default="EUR"))


def downgrade():
    op.drop_column("orders", "currency")
""",
    ),
    Hazard(
        code="type-narrowing",
        severity=Severity.WARNING,
        effects=(Effect.FAILS, Effect.LOSES_DATA),
        title="A type that holds less than the old one",
        observed="A column whose new type is shorter, smaller or coarser; that values did not fit, or did not survive.",
        why="Values that production has by now do not fit: the upgrade fails on them, or cuts them.",
        hint="keep the type, and limit new values by a CHECK that is NOT VALID",
        recipe="""\
def upgrade():
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE orders ADD CONSTRAINT orders_note_short CHECK (length(note) <= 2000) NOT VALID")


def downgrade():
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("orders_note_short", "orders")
""",
    ),
    Hazard(
        code="meaning-changed",
        severity=Severity.ERROR,
        effects=(Effect.BREAKS_PREVIOUS_RELEASE,),
        title="A column keeps its name and means something else",
        observed="After the upgrade columns of a table have each other's values, or all numbers of one are multiplied "
        "or turned round, all times are moved, all words that tell rows apart have something before or behind them or "
        "are in another case, or what were times or texts are numbers, or texts mere digests.",
        why="The release that runs reads and writes what it always did: cents as euros, a city as a street.",
        hint="put the new meaning into a new column, and drop the old one in a later release",
        recipe="""\
def upgrade():
    # The release that knows it writes it; a later revision fills in, in batches, what that has not written.
    op.add_column("orders", sa.Column("grams", sa.BigInteger()))


def downgrade():
    op.drop_column("orders", "grams")
""",
    ),
    Hazard(
        code="rows-moved",
        severity=Severity.WARNING,
        tolerable=True,
        effects=(Effect.BREAKS_PREVIOUS_RELEASE,),
        title="Rows go where the release before does not look",
        observed="A table has fewer rows after the upgrade, and another one has what is missing.",
        why="The release that runs shows what it finds: no order of last year, and no error either.",
        hint="copy them, let a release read both tables, and delete them in a later one",
        recipe="""\
def upgrade():
    op.create_table(
        "old_orders",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("amount", sa.Numeric(12, 2)),
    )
    op.execute("INSERT INTO old_orders SELECT id, amount FROM orders WHERE id < 20")


def downgrade():
    op.drop_table("old_orders")
""",
    ),
    Hazard(
        code="duplicates-refused",
        severity=Severity.ERROR,
        effects=(Effect.BREAKS_PREVIOUS_RELEASE,),
        title="What the release before writes becomes unique",
        observed="A key or a unique index is made, and rows or values of its table had to go for it.",
        why="Rows were alike because the release that runs writes such rows. It goes on doing so, and is refused.",
        hint="let a release stop writing them, and make it unique in a later one",
        recipe="""\
def upgrade():
    # The next release takes its serial number here; who writes orders otherwise may go on.
    op.create_table(
        "serials",
        sa.Column("serial", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("taken_at", sa.DateTime()),
    )


def downgrade():
    op.drop_table("serials")
""",
    ),
    Hazard(
        code="trigger-dropped",
        severity=Severity.ERROR,
        effects=(Effect.BREAKS_PREVIOUS_RELEASE,),
        title="A trigger goes while the release before relies on it",
        observed="A table from before the revision lacks a trigger that changes or deletes rows, and has no other one; "
        "or a rebuild has taken along one that writes rows at all.",
        why="The release that runs leaves to the trigger what it does: sums, copies and time stamps are wrong from now "
        "on, and nothing says so. On SQLite a rebuilt table has lost its triggers.",
        hint="let a release do it itself before the trigger goes; after a batch rebuild, create the trigger again",
        recipe="""\
def upgrade():
    # The next release says here that it has done it, and the trigger can leave those rows alone.
    op.add_column("orders", sa.Column("counted", sa.Boolean()))


def downgrade():
    op.drop_column("orders", "counted")
""",
    ),
    Hazard(
        code="sequence-behind",
        severity=Severity.ERROR,
        effects=(Effect.BREAKS_PREVIOUS_RELEASE,),
        title="A sequence gives numbers that are taken",
        observed="Of the next ten numbers of a sequence one is in the column already that it numbers.",
        why="An INSERT soon violates the primary key, and so do those after it until the sequence has caught up.",
        hint="set it to the largest number with setval(), in the same revision",
        recipe="""\
def upgrade():
    op.execute("ALTER TABLE orders ALTER id DROP DEFAULT")
    op.execute("DROP SEQUENCE orders_id_seq")
    op.execute("ALTER TABLE orders ALTER id ADD GENERATED BY DEFAULT AS IDENTITY")
    op.execute("SELECT setval(pg_get_serial_sequence('orders', 'id'), (SELECT max(id) FROM orders))")


def downgrade():
    op.execute("ALTER TABLE orders ALTER id DROP IDENTITY")
    op.execute("CREATE SEQUENCE orders_id_seq AS integer OWNED BY orders.id")
    op.execute("SELECT setval('orders_id_seq', (SELECT max(id) FROM orders))")
    op.execute("ALTER TABLE orders ALTER id SET DEFAULT nextval('orders_id_seq')")
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="partition-detached",
        severity=Severity.ERROR,
        effects=(Effect.BREAKS_PREVIOUS_RELEASE,),
        title="A partition is taken off while the release before still uses it",
        observed="What was a partition is a table of its own, and nothing stands for its bounds.",
        why="Its rows are not found in the partitioned table any more, and new ones of its range are refused.",
        hint="let a release do without its range, as by a view, and detach it in a later one",
        recipe="""\
def upgrade():
    op.execute("CREATE VIEW recent_orders AS SELECT * FROM orders WHERE placed_at >= '2025-01-01'")


def downgrade():
    op.execute("DROP VIEW recent_orders")
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="sqlite-table-rebuild",
        severity=Severity.ERROR,
        effects=(_REWRITE,),
        title="SQLite builds the table anew",
        observed="A table from before the revision begins at another page of the file and holds rows.",
        why="All rows are copied while nobody else can write, the file grows by the size of the table, and whatever "
        "batch mode does not carry along is lost; where foreign keys are enforced, so are the rows that refer to it.",
        hint="SQLite adds, renames and drops columns and makes indexes without that; do only that on large tables",
        recipe="""\
def upgrade():
    op.add_column("orders", sa.Column("weight", sa.Float()))
    op.create_index("ix_orders_weight", "orders", ["weight"])


def downgrade():
    op.drop_index("ix_orders_weight", "orders")
    op.drop_column("orders", "weight")
""",
        dialects=("sqlite",),
    ),
    Hazard(
        code="sqlite-column-dropped",
        severity=Severity.WARNING,
        tolerable=True,
        effects=(_REWRITE,),
        title="SQLite writes every row again to drop a column",
        observed="ALTER TABLE DROP COLUMN on a table that holds rows, of a column whose values are stored.",
        why="Nobody else can write meanwhile; nothing else of the table is touched.",
        hint="a column that nobody uses may stay until traffic is low",
        recipe="""\
def upgrade():
    # What is used no longer stays for the time being; what takes its place is added beside it.
    op.add_column("orders", sa.Column("remark", sa.Text()))


def downgrade():
    op.drop_column("orders", "remark")
""",
        dialects=("sqlite",),
    ),
    Hazard(
        code="dangling-references",
        severity=Severity.ERROR,
        effects=(),
        title="References that point at nothing",
        observed="Foreign keys whose rows have no counterpart after the upgrade, and had one before.",
        why="Foreign keys are off while SQLite migrates; the first write that is checked afterwards fails.",
        hint="delete or repair the rows that refer, in the same revision and before what they refer to",
        recipe="""\
def upgrade():
    op.execute("UPDATE orders SET customer_id = NULL WHERE customer_id NOT IN (SELECT id FROM customers)")


def downgrade():
    pass
""",
        dialects=("sqlite",),
    ),
    Hazard(
        code="concurrently-in-transaction",
        severity=Severity.ERROR,
        effects=(Effect.FAILS,),
        title="CONCURRENTLY inside a transaction",
        observed="PostgreSQL refuses a statement with CONCURRENTLY.",
        why="Alembic runs a revision in a transaction, and such a statement needs several of its own.",
        hint="put it into `with op.get_context().autocommit_block():`",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_amount", "orders", postgresql_concurrently=True, if_exists=True)
        op.create_index("ix_orders_amount", "orders", ["amount"], postgresql_concurrently=True)


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_amount", "orders", postgresql_concurrently=True)
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="transaction-mismatch",
        severity=Severity.ERROR,
        effects=(Effect.FAILS,),
        title="A statement that runs only inside, or only outside, of a transaction",
        observed="The engine refuses a statement for the transaction that it is in, or is not in: VACUUM, a new label "
        "of an enumeration used at once, a COMMIT in a block.",
        why="It can never work where it stands.",
        hint="put it into an autocommit block, or into a revision of its own",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        op.execute("VACUUM orders")


def downgrade():
    pass
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="other-engine",
        severity=Severity.ERROR,
        effects=(Effect.FAILS,),
        title="Text that this engine does not understand",
        observed="The engine refuses the syntax of a statement, or Alembic has no such operation for it.",
        why="The chain ends here for everybody who uses this engine.",
        hint="use Alembic's operations, batch mode on SQLite, or ask for op.get_bind().dialect.name first",
        recipe="""\
def upgrade():
    with op.batch_alter_table("orders") as batch:
        batch.add_column(sa.Column("size", sa.Integer()))


def downgrade():
    with op.batch_alter_table("orders") as batch:
        batch.drop_column("size")
""",
        dialects=("sqlite", "postgresql"),
    ),
    Hazard(
        code="non-deterministic",
        severity=Severity.WARNING,
        effects=(),
        title="Two runs differ",
        observed="Two upgrades from the same beginning lead to other rows, or execute other statements.",
        why="What was rehearsed is not what will run, and two installations of one revision are not the same.",
        hint="compute values from the rows themselves; no clock, no random numbers",
        recipe="""\
def upgrade():
    op.add_column("orders", sa.Column("imported", sa.Boolean(), server_default=sa.false()))


def downgrade():
    op.drop_column("orders", "imported")
""",
    ),
    Hazard(
        code="environment-dependent",
        severity=Severity.WARNING,
        effects=(),
        title="The environment decides what a revision does",
        observed="The revision reads environment variables.",
        why="The chain makes another schema in every installation.",
        hint="decide in the application, not in the history",
        recipe="""\
def upgrade():
    op.add_column("orders", sa.Column("region", sa.String(20), server_default="eu"))


def downgrade():
    op.drop_column("orders", "region")
""",
    ),
    Hazard(
        code="imports-models",
        severity=Severity.WARNING,
        effects=(),
        title="The revision imports the application's models",
        observed="An import of a module of the project that defines mapped classes.",
        why="The models go on changing and the revision must not: next year it will make other tables, or fail.",
        hint="spell out in the revision the tables that it needs, with sa.table() and sa.column()",
        recipe="""\
def upgrade():
    channels = op.create_table("channels", sa.Column("code", sa.String(20), primary_key=True))
    op.bulk_insert(channels, [{"code": "shop"}, {"code": "phone"}])


def downgrade():
    op.drop_table("channels")
""",
    ),
    Hazard(
        code="missing-foreign-key-index",
        severity=Severity.WARNING,
        effects=(),
        title="A foreign key without an index",
        observed="A new foreign key with whose columns no index begins.",
        why="Every DELETE in the other table, and every change of its key, reads the whole table to look for "
        "references.",
        hint="make an index on the columns of the foreign key",
        recipe="""\
def upgrade():
    op.create_table(
        "invoices",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("order_id", sa.Integer(), sa.ForeignKey("orders.id"), nullable=False, index=True),
    )


def downgrade():
    op.drop_table("invoices")
""",
    ),
    Hazard(
        code="redundant-index",
        severity=Severity.WARNING,
        effects=(),
        title="An index that another one makes superfluous",
        observed="An index whose columns another index on the same table begins with.",
        why="It costs on every write and serves no query that the other one would not.",
        hint="leave it out, or drop the shorter one of the two",
        recipe="""\
def upgrade():
    op.create_table(
        "visits",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("page", sa.Text()),
        sa.Column("hour", sa.Integer()),
    )
    op.create_index("ix_visits_page_hour", "visits", ["page", "hour"])


def downgrade():
    op.drop_table("visits")
""",
    ),
    Hazard(
        code="invalid-index",
        severity=Severity.ERROR,
        effects=(),
        title="An index is left invalid",
        observed="An index that PostgreSQL marks invalid after the statement that made it.",
        why="It is maintained on every write and used by no query.",
        hint="drop it CONCURRENTLY and build it again; on partitions, attach one for each",
        recipe="""\
def upgrade():
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_orders_amount")
        op.drop_index("ix_orders_amount", "orders", postgresql_concurrently=True, if_exists=True)
        op.create_index("ix_orders_amount", "orders", ["amount"], postgresql_concurrently=True)


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_amount", "orders", postgresql_concurrently=True)
""",
        dialects=_POSTGRESQL,
    ),
    Hazard(
        code="privileges-changed",
        severity=Severity.WARNING,
        effects=(Effect.BREAKS_PREVIOUS_RELEASE,),
        title="Owner or privileges change",
        observed="Owner and privileges of a table from before the revision differ afterwards, by GRANT or REVOKE or "
        "because it was made anew.",
        why="Roles of the application lose their rights, or others gain some, without anybody having decided it.",
        hint="grant again what a table had that is made anew, and keep rights out of the history",
        recipe="""\
def upgrade():
    op.create_table("shipments", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("state", sa.Text()))
    op.execute("GRANT SELECT ON shipments TO PUBLIC")


def downgrade():
    op.drop_table("shipments")
""",
        dialects=_POSTGRESQL,
    ),
)
