"""Pull requests, each a few lines: what a branch changes, and what the gate has to say about it.

A line that ends with ``# HERE`` is the one at which a finding must stand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, MetaData, String, Table
from sqlalchemy.schema import DefaultClause

from tests.gate.repository import HERE, Repository, line_of

BOTH = ("sqlite", "postgresql")
PHONE = 'op.add_column("customers", sa.Column("phone", sa.String(20)))'
NO_PHONE = 'op.drop_column("customers", "phone")'
AGE = 'op.add_column("customers", sa.Column("age", sa.Integer()))'
NO_AGE = 'op.drop_column("customers", "age")'
DROP_EMAIL = 'op.drop_column("customers", "email")  # HERE'
EMAIL = 'op.add_column("customers", sa.Column("email", sa.String(80)))'
EMAIL_LOST = ("data-loss", "irreversible", "breaks-previous-release")
FAR = "2999-12-31"


@dataclass(frozen=True)
class Expected:
    """A blocking finding.

    Attributes:
        code: Its code.
        file: Its file, relative to the repository.
        text: What stands on its line; empty where the whole file is meant.
        dialects: The engines on which it is found; empty where it has to do with none.
    """

    code: str
    file: str = "migrations/versions/003_revision.py"
    text: str = HERE
    dialects: tuple[str, ...] = ()

    def line(self, root: Path) -> int | None:
        """Return the line at which it must stand."""
        return line_of(root / self.file, self.text) if self.text else None


@dataclass(frozen=True)
class PullRequest:
    """A branch.

    Attributes:
        name: What it is about.
        change: Makes it, in a repository that stands on the branch.
        expected: What blocks it; nothing where it must pass.
        ledger: Whether the project has ledger, schemas and models.
        models: Changes the models, which agree with the released revisions.
        measured: Whether ledger and schemas are written anew, as `tbcv migrate create` does.
    """

    name: str
    change: Callable[[Repository], object]
    expected: tuple[Expected, ...] = ()
    ledger: bool = False
    models: Callable[[MetaData], object] | None = None
    measured: bool = False


def models() -> MetaData:
    """Return models that agree with what was released."""
    metadata = MetaData()
    Table(
        "customers",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String(40), nullable=False),
        Column("email", String(80)),
    )
    Table(
        "orders",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("customer_id", Integer, nullable=False),
        Column("total", Integer, nullable=False, server_default="0"),
        Column("note", String(200)),
        ForeignKeyConstraint(["customer_id"], ["customers.id"], name="fk_orders_customer"),
        Index("ix_orders_customer_id", "customer_id"),
    )
    return metadata


def _nothing(_: Repository) -> None:
    """Change nothing."""


def _up(up: str, down: str = "pass", *, header: str = "") -> Callable[[Repository], object]:
    """Add a revision on top."""
    return lambda repository: repository.revision("003", "002", up, down, header=header)


def _released(name: str, old: str, new: str) -> Callable[[Repository], object]:
    """Edit a file."""
    return lambda repository: repository.edit(repository.root / "migrations" / name, old, new)


def _at(code: str, *dialects: str, text: str = HERE) -> Expected:
    return Expected(code, text=text, dialects=dialects)


def _rename_id(repository: Repository) -> None:
    path = repository.versions / "002_revision.py"
    repository.edit(path, "revision = '002'", "revision = '02b'")


def _insert(repository: Repository) -> None:
    repository.revision("000", "001")
    repository.edit(repository.versions / "002_revision.py", "down_revision = '001'", "down_revision = '000'")


def _beside(theirs: str, back: str, ours: str = PHONE, ours_back: str = NO_PHONE) -> Callable[[Repository], object]:
    """Let main get a revision after the branch has left it."""

    def change(repository: Repository) -> None:
        if ours:
            repository.revision("003", "002", f"{ours}  {HERE}", ours_back)
        repository.commit()
        repository.git("switch", "--quiet", "main")
        repository.revision("00x", "002", theirs, back)
        repository.commit()
        repository.git("switch", "--quiet", "change")

    return change


def _ledger(change: Callable[[list[str]], list[str]]) -> Callable[[Repository], object]:
    def edit(repository: Repository) -> None:
        path = repository.root / "migrations" / "ledger"
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))

    return edit


HISTORY = (
    PullRequest("nothing", _nothing),
    PullRequest("a text", lambda one: (one.root / "README.md").write_text("Hello.\n")),
    PullRequest("a sound revision", _up(PHONE, NO_PHONE)),
    PullRequest(
        "two sound revisions",
        lambda one: (one.revision("b3", "002", PHONE, NO_PHONE), one.revision("a4", "b3", AGE, NO_AGE)),
    ),
    PullRequest(
        "released revision edited",
        _released("versions/002_revision.py", "sa.String(200)", "sa.String(201)"),
        (Expected("released-edited", "migrations/versions/002_revision.py", "sa.String(201)"),),
    ),
    PullRequest(
        "released revision explained",
        _released("versions/002_revision.py", "import sqlalchemy", "# why\nimport sqlalchemy"),
    ),
    PullRequest(
        "released revision removed",
        lambda one: (one.versions / "002_revision.py").unlink(),
        (Expected("released-removed", "migrations/versions/002_revision.py", ""),),
    ),
    PullRequest(
        "released revision with another id",
        _rename_id,
        (Expected("released-renamed", "migrations/versions/002_revision.py", "revision = '02b'"),),
    ),
    PullRequest(
        "released file renamed",
        lambda one: (one.versions / "002_revision.py").rename(one.versions / "002_other.py"),
        (Expected("released-renamed", "migrations/versions/002_other.py", "revision = '002'"),),
    ),
    PullRequest(
        "revision put below a released one",
        _insert,
        (Expected("released-reparented", "migrations/versions/002_revision.py", "down_revision ="),),
    ),
    PullRequest(
        "two heads",
        lambda one: one.revision("003", "001", PHONE, NO_PHONE),
        (_at("multiple-heads", text="down_revision ="),),
    ),
    PullRequest(
        "two bases",
        lambda one: one.revision("003", None),
        (_at("multiple-bases", text="down_revision ="), _at("multiple-heads", text="down_revision =")),
    ),
    PullRequest(
        "parent that is nowhere",
        lambda one: one.revision("003", "zzz"),
        (_at("parent-missing", text="down_revision ="),),
    ),
    PullRequest(
        "circle",
        lambda one: (one.revision("003", "004"), one.revision("004", "003")),
        (
            _at("history-circular", text="down_revision ="),
            Expected("history-circular", "migrations/versions/004_revision.py", "down_revision ="),
        ),
    ),
    PullRequest("no Python", _up("pass pass  # HERE"), (_at("revision-unreadable"),)),
    PullRequest(
        "id that stands twice",
        lambda one: one.revision("002", "001", file="003_revision.py"),
        (_at("revision-twice", text="revision = '002'"),),
    ),
    PullRequest("merge race", _beside("pass", "pass"), (_at("merge-heads", text="down_revision ="),)),
    PullRequest(
        "merge race on one column",
        _beside('op.add_column("customers", sa.Column("phone", sa.Integer()))', NO_PHONE),
        (_at("merge-heads", text="down_revision ="), _at("merge-conflict")),
    ),
    PullRequest("merge race on one table", _beside(AGE, NO_AGE), (_at("merge-heads", text="down_revision ="),)),
    PullRequest("main went on alone", _beside(AGE, NO_AGE, "")),
)

LEDGER = (
    PullRequest(
        "revision without its line",
        _up("pass"),
        (_at("ledger-missing", text=""),),
        ledger=True,
    ),
    PullRequest("revision with its line", _up("pass"), ledger=True, measured=True),
    PullRequest(
        "line taken out",
        _ledger(lambda lines: lines[:-1]),
        (Expected("ledger-missing", "migrations/versions/002_revision.py", ""),),
        ledger=True,
    ),
    PullRequest(
        "checksum changed",
        _ledger(lambda lines: [*lines[:-1], lines[-1].replace(lines[-1].split()[2], "0" * 32)]),
        (Expected("ledger-checksum", "migrations/versions/002_revision.py", ""),),
        ledger=True,
    ),
    PullRequest(
        "lines in another order",
        _ledger(lambda lines: [*lines[:-2], lines[-1], lines[-2]]),
        (Expected("ledger-order", "migrations/ledger", ""),),
        ledger=True,
    ),
    PullRequest(
        "marks of a merge",
        _ledger(lambda lines: [*lines, "<<<<<<< HEAD\n"]),
        (Expected("ledger-unreadable", "migrations/ledger", "<<<<"),),
        ledger=True,
    ),
    PullRequest(
        "ledger removed",
        lambda one: (one.root / "migrations" / "ledger").unlink(),
        tuple(Expected("ledger-missing", f"migrations/versions/{name}_revision.py", "") for name in ("001", "002")),
        ledger=True,
    ),
    PullRequest(
        "fingerprint changed",
        _ledger(lambda lines: [*lines[:-1], lines[-1].replace(lines[-1].split()[3], "0" * 32)]),
        (Expected("ledger-fingerprint", "migrations/ledger", "002 001", ("sqlite",)),),
        ledger=True,
    ),
    PullRequest(
        "schema edited by hand",
        _released("schema/sqlite.txt", "customers.name: varchar(40)", "customers.name: varchar(41)"),
        (Expected("schema-drift", "migrations/schema/sqlite.txt", "varchar(41)", ("sqlite",)),),
        ledger=True,
    ),
    PullRequest(
        "schema not written",
        lambda one: (one.root / "migrations/schema/postgresql.txt").unlink(),
        (Expected("schema-missing", "migrations/schema/postgresql.txt", "", ("postgresql",)),),
        ledger=True,
    ),
)


def _drift(name: str, change: Callable[[MetaData], object]) -> PullRequest:
    """Models that no revision follows; what knows no line of theirs stands at the last revision."""
    finding = Expected("models-drift", "migrations/versions/002_revision.py", "", BOTH)
    return PullRequest(f"drift: {name}", _nothing, (finding,), ledger=True, models=change)


def _column(metadata: MetaData, name: str) -> Column[object]:
    table, _, column = name.partition(".")
    return metadata.tables[table].c[column]


def _without(metadata: MetaData, table: str, name: str) -> None:
    found = metadata.tables[table]
    columns = [one._copy() for one in found.c if one.name != name]
    metadata.remove(found)
    Table(table, metadata, *columns)


def _set(name: str, **values: object) -> Callable[[MetaData], object]:
    return lambda metadata: _column(metadata, name).__dict__.update(values)


DRIFT = (
    _drift("column added", lambda one: one.tables["customers"].append_column(Column("phone", String(20)))),
    _drift("column dropped", lambda one: _without(one, "customers", "email")),
    _drift("type changed", _set("customers.email", type=Integer())),
    _drift("length changed", _set("customers.email", type=String(81))),
    _drift("required", _set("customers.email", nullable=False)),
    _drift("optional", _set("customers.name", nullable=True)),
    _drift("default added", _set("orders.note", server_default=DefaultClause("x"))),
    _drift("default changed", _set("orders.total", server_default=DefaultClause("1"))),
    _drift("default dropped", _set("orders.total", server_default=None)),
    _drift("index added", lambda one: Index("ix_note", one.tables["orders"].c.note)),
    _drift("index dropped", lambda one: one.tables["orders"].indexes.clear()),
    _drift("check", lambda one: one.tables["orders"].append_constraint(CheckConstraint("total >= 0", name="positive"))),
    _drift("table added", lambda one: Table("tags", one, Column("id", Integer, primary_key=True))),
    PullRequest(
        "drift: none, in another order",
        _nothing,
        ledger=True,
        models=lambda one: one.tables["customers"].c._all_columns.reverse(),
    ),
)


def _waived(words: str, *more: str) -> PullRequest:
    """Drop a column, and say something about that in comments."""
    header = "".join(f"# tbcv: allow {code} because it is copied elsewhere until {FAR}\n" for code in EMAIL_LOST[1:])
    expected = tuple(_at(code, text=words) for code in more if code.startswith("waiver"))
    expected += tuple(_at(code, *BOTH) for code in more if not code.startswith("waiver"))
    return PullRequest(f"waiver: {words}", _up(DROP_EMAIL, EMAIL, header=f"{header}{words}\n"), expected)


WAIVERS = (
    _waived(f"# tbcv: allow data-loss because it is copied elsewhere until {FAR}"),
    _waived("# tbcv: allow data-loss because it is copied elsewhere until 2020-01-01", "waiver-expired", "data-loss"),
    _waived(f"# tbcv: allow data-loss until {FAR}", "waiver-without-reason", "data-loss"),
    _waived(f"# tbcv: allow data-loss because  until {FAR}", "waiver-without-reason", "data-loss"),
    _waived("# tbcv: allow data-loss because it is copied elsewhere", "waiver-malformed", "data-loss"),
    _waived(f"# tbcv: allow date-loss because it is copied elsewhere until {FAR}", "waiver-unused", "data-loss"),
    _waived(f'ALLOWED = "# tbcv: allow data-loss because it is copied elsewhere until {FAR}"', "data-loss"),
    PullRequest(
        "waiver: of what is not there",
        _up(PHONE, NO_PHONE, header=f"# tbcv: allow data-loss because nobody knows until {FAR}\n"),
        (_at("waiver-unused", text="allow data-loss"),),
    ),
)

IN_BLOCK = "with op.get_context().autocommit_block():\n    "
_NOTE_INDEX = 'op.create_index("ix_note", "orders", ["note"]{})'
_DROP_NOTE_INDEX = 'op.drop_index("ix_note", "orders"{})'
_CONCURRENTLY = ", postgresql_concurrently=True"
_ON_POSTGRESQL = 'if op.get_bind().dialect.name == "postgresql":\n    '
_BATCHES = f"""
{IN_BLOCK}batch = sa.text("UPDATE orders SET total = total WHERE id > :least AND id <= :least + 20")
    for least in range(0, 200, 20):
        op.get_bind().execute(batch, {{"least": least}})
"""
DOWN = "def downgrade"


def _bad(name: str, up: str, down: str, *expected: Expected) -> PullRequest:
    return PullRequest(name, _up(up, down), expected)


def _good(name: str, up: str, down: str) -> PullRequest:
    return PullRequest(f"{name}, safely", _up(up, down))


HAZARDS = (
    _bad("column dropped", DROP_EMAIL, EMAIL, *(_at(code, *BOTH) for code in EMAIL_LOST)),
    _good("column dropped", f"{PHONE}\n{NO_PHONE}", "pass"),
    _bad(
        "table dropped",
        'op.drop_table("orders")  # HERE',
        "pass",
        *(_at(code, *BOTH) for code in ("data-loss", "breaks-previous-release")),
        _at("irreversible", *BOTH, text=DOWN),
    ),
    _good(
        "table dropped",
        'op.create_table("tags", sa.Column("id", sa.Integer(), primary_key=True))\nop.drop_table("tags")',
        "pass",
    ),
    _bad(
        "index",
        f"{_NOTE_INDEX.format('')}  {HERE}",
        _DROP_NOTE_INDEX.format(""),
        _at("blocking-index-build", "postgresql"),
    ),
    _good("index", IN_BLOCK + _NOTE_INDEX.format(_CONCURRENTLY), IN_BLOCK + _DROP_NOTE_INDEX.format(_CONCURRENTLY)),
    _bad(
        "concurrently",
        f"{_NOTE_INDEX.format(_CONCURRENTLY)}  {HERE}",
        _DROP_NOTE_INDEX.format(""),
        _at("concurrently-in-transaction", "postgresql"),
    ),
    _bad(
        "required column",
        'op.add_column("orders", sa.Column("state", sa.String(5), nullable=False))  # HERE',
        'op.drop_column("orders", "state")',
        _at("fails-on-existing-data", *BOTH),
        _at("breaks-previous-release", *BOTH),
    ),
    _good(
        "required column",
        'op.add_column("orders", sa.Column("state", sa.String(5), nullable=False, server_default="new"))',
        'op.drop_column("orders", "state")',
    ),
    _bad(
        "type",
        'with op.batch_alter_table("orders") as batch:  # SQLITE\n'
        '    batch.alter_column("total", type_=sa.BigInteger(), existing_nullable=False)  # HERE',
        'with op.batch_alter_table("orders") as batch:\n'
        '    batch.alter_column("total", type_=sa.Integer(), existing_nullable=False)',
        _at("sqlite-table-rebuild", "sqlite", text="# SQLITE"),
        _at("table-rewrite", "postgresql"),
    ),
    _good(
        "type",
        f'{_ON_POSTGRESQL}op.alter_column("orders", "note", type_=sa.String(400))',
        f'{_ON_POSTGRESQL}op.alter_column("orders", "note", type_=sa.String(200))',
    ),
    _bad(
        "narrower",
        f'{_ON_POSTGRESQL}op.alter_column("orders", "note", type_=sa.String(3))  {HERE}',
        f'{_ON_POSTGRESQL}op.alter_column("orders", "note", type_=sa.String(200))',
        *(_at(code, "postgresql") for code in ("type-narrowing", "table-rewrite", "breaks-previous-release")),
    ),
    _bad(
        "column renamed",
        'op.alter_column("customers", "email", new_column_name="mail")  # HERE',
        'op.alter_column("customers", "mail", new_column_name="email")',
        _at("breaks-previous-release", *BOTH),
    ),
    _bad(
        "table renamed",
        'op.rename_table("orders", "purchases")  # HERE',
        'op.rename_table("purchases", "orders")',
        _at("breaks-previous-release", *BOTH),
    ),
    _good(
        "table renamed",
        f'{_ON_POSTGRESQL}op.rename_table("orders", "purchases")\n'
        '    op.execute("CREATE VIEW orders AS SELECT * FROM purchases")',
        f'{_ON_POSTGRESQL}op.execute("DROP VIEW orders")\n    op.rename_table("purchases", "orders")',
    ),
    _bad("no way back", f"{PHONE}  {HERE}", "pass", _at("irreversible", *BOTH, text=DOWN)),
    _bad(
        "way back that fails",
        PHONE,
        'op.drop_column("customers", "telephone")  # HERE',
        _at("irreversible", *BOTH),
    ),
    _bad(
        "backfill",
        'op.execute("UPDATE orders SET total = total")  # HERE',
        "pass",
        _at("unbatched-backfill", "postgresql"),
    ),
    _good("backfill", _BATCHES, "pass"),
    _bad(
        "foreign key",
        f'{_ON_POSTGRESQL}op.add_column("customers", sa.Column("order_id", sa.Integer()))\n'
        '    op.create_foreign_key("fk_order", "customers", "orders", ["order_id"], ["id"])  # HERE',
        f'{_ON_POSTGRESQL}op.drop_column("customers", "order_id")',
        _at("constraint-validated-under-lock", "postgresql"),
    ),
    _good(
        "foreign key",
        f"{_ON_POSTGRESQL}with op.get_context().autocommit_block():\n"
        '        op.drop_column("customers", "order_id", if_exists=True)\n'
        '        op.add_column("customers", sa.Column("order_id", sa.Integer()))\n'
        '        op.create_index("ix_order", "customers", ["order_id"], postgresql_concurrently=True)\n'
        "        op.create_foreign_key(\n"
        '            "fk_order", "customers", "orders", ["order_id"], ["id"], postgresql_not_valid=True\n'
        "        )\n"
        '        op.execute("ALTER TABLE customers VALIDATE CONSTRAINT fk_order")',
        f'{_ON_POSTGRESQL}op.drop_column("customers", "order_id")',
    ),
    _bad(
        "foreign key, cut short",
        f"{_ON_POSTGRESQL}with op.get_context().autocommit_block():\n"
        '        op.add_column("customers", sa.Column("order_id", sa.Integer()))  # HERE\n'
        '        op.create_index("ix_order", "customers", ["order_id"], postgresql_concurrently=True)\n',
        f'{_ON_POSTGRESQL}op.drop_column("customers", "order_id")',
        _at("cut-short", "postgresql"),
    ),
    _bad(
        "negative numbers",
        f"{_ON_POSTGRESQL}with op.get_context().autocommit_block():\n"
        '        op.execute("ALTER TABLE orders ADD CHECK (total >= 0) NOT VALID")\n'
        '        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT orders_total_check")  # HERE',
        f'{_ON_POSTGRESQL}op.drop_constraint("orders_total_check", "orders")',
        _at("fails-on-existing-data", "postgresql"),
    ),
    _bad(
        "one engine's SQL",
        "op.execute(\"ALTER TABLE orders ALTER COLUMN note SET DEFAULT '-'\")  # HERE",
        'op.execute("ALTER TABLE orders ALTER COLUMN note DROP DEFAULT")',
        _at("other-engine", "sqlite"),
    ),
    _good(
        "one engine's SQL",
        f"{_ON_POSTGRESQL}op.execute(\"ALTER TABLE orders ALTER COLUMN note SET DEFAULT '-'\")",
        f'{_ON_POSTGRESQL}op.execute("ALTER TABLE orders ALTER COLUMN note DROP DEFAULT")',
    ),
    _bad("what fails", 'op.drop_column("customers", "nowhere")  # HERE', "pass", _at("fails", *BOTH)),
    _bad("what raises", 'raise RuntimeError("not today")  # HERE', "pass", _at("fails", *BOTH)),
    _bad(
        "what fails with rows",
        'op.execute("INSERT INTO customers (id, name) SELECT id, name FROM customers")  # HERE',
        "pass",
        _at("fails-on-existing-data", *BOTH),
    ),
    _bad(
        "rows deleted",
        'op.execute("DELETE FROM orders WHERE id > 3")  # HERE',
        "pass",
        _at("data-loss", *BOTH),
        _at("irreversible", *BOTH),
        _at("unbatched-backfill", "postgresql"),
    ),
    _good(
        "rows of one's own",
        'tags = op.create_table("tags", sa.Column("id", sa.Integer(), primary_key=True))\n'
        'op.bulk_insert(tags, [{"id": 1}])\nop.execute("DELETE FROM tags")',
        'op.drop_table("tags")',
    ),
)

PULL_REQUESTS = (*HISTORY, *LEDGER, *DRIFT, *WAIVERS, *HAZARDS)
