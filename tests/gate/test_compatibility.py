"""What a revision means for the release before it, seen on both engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.findings import Effect
from tbcv.gate.releases.blame import locate
from tbcv.gate.releases.compatibility import (
    Compatibility,
    RevisionVerdict,
    Verdict,
    additive_marks,
    check_compatibility,
    deploy_order,
)
from tbcv.migrate.history import read_history
from tbcv.settings import Settings
from tests.integration.synthetic import environment

ADDITIVE, NEW_FIRST, BREAKING = Verdict.ADDITIVE, Verdict.NEEDS_NEW_CODE_FIRST, Verdict.BREAKING
BOTH: tuple[Dialect, ...] = ("sqlite", "postgresql")
TABLE = """\
op.create_table(
    "{name}",
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("code", sa.String(20), nullable=False),
    sa.Column("note", sa.String(40)),
    sa.Column("amount", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("status", sa.Enum("new", "done", name="{name}_status", create_constraint=True), nullable=False),
    sa.Column("owner_id", sa.Integer(), sa.ForeignKey("owners.id", name="fk_{name}_owner")),
    sa.Column("other_id", sa.Integer()),
    sa.Column("made_at", sa.DateTime(), nullable=False, server_default=sa.text("CURRENT_TIMESTAMP")),
    sa.Column("price", sa.Numeric(10, 4)),
    sa.CheckConstraint("amount >= 0", name="ck_{name}_amount"),
)
"""


@dataclass(frozen=True)
class Case:
    """A revision over a table of its own, called as the case is, and what it means.

    Attributes:
        upgrade: What it does; @ stands for the table.
        verdict: On SQLite and on PostgreSQL, where they differ.
        certain: Whether the previous release breaks for sure.
        only: The engines that have the notion.
        before: What the revision below it does to the table.
    """

    upgrade: str
    verdict: Verdict | tuple[Verdict, Verdict]
    certain: bool = True
    only: tuple[Dialect, ...] = BOTH
    before: str = ""

    def expected(self, dialect: Dialect) -> Verdict:
        return self.verdict if isinstance(self.verdict, Verdict) else self.verdict[BOTH.index(dialect)]


BATCH = 'with op.batch_alter_table("@") as batch:\n    '
TRIGGER_SQLITE = (
    "op.execute(\"CREATE TRIGGER @_guard BEFORE {event} ON @ BEGIN SELECT RAISE(ABORT, 'not any more'); END\")\n"
)
TRIGGER_POSTGRESQL = (
    'op.execute("CREATE FUNCTION @_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")\n'
    'op.execute("CREATE TRIGGER @_guard BEFORE {event} ON @ FOR EACH ROW EXECUTE FUNCTION @_guard()")\n'
)
CASES: dict[str, Case] = {
    "nullable_column": Case('op.add_column("@", sa.Column("more", sa.Text()))', ADDITIVE),
    "required_column": Case(
        'op.add_column("@", sa.Column("more", sa.Text(), nullable=False, server_default="x"))\n'
        + BATCH
        + 'batch.alter_column("more", server_default=None)',
        BREAKING,
    ),
    "defaulted_column": Case(
        'op.add_column("@", sa.Column("more", sa.Text(), nullable=False, server_default="x"))', ADDITIVE
    ),
    "dropped_nullable_column": Case(BATCH + 'batch.drop_column("note")', NEW_FIRST),
    "dropped_required_column": Case(BATCH + 'batch.drop_column("code")', BREAKING),
    "dropped_table": Case('op.drop_table("@")', NEW_FIRST),
    "renamed_column": Case(BATCH + 'batch.alter_column("note", new_column_name="remark")', BREAKING),
    "renamed_table": Case('op.rename_table("@", "@_renamed")', BREAKING),
    "renamed_behind_view": Case(
        'op.rename_table("@", "@_renamed")\nop.execute("CREATE VIEW @ AS SELECT * FROM @_renamed")',
        (BREAKING, ADDITIVE),
    ),
    "renamed_behind_triggers": Case(
        'op.rename_table("@", "@_renamed")\nop.execute("CREATE VIEW @ AS SELECT * FROM @_renamed")\n'
        'columns = ["code", "note", "amount", "status", "owner_id", "other_id", "made_at", "price"]\n'
        'values = ", ".join(f"NEW.{one}" for one in columns).replace("NEW.amount", "coalesce(NEW.amount, 0)")\n'
        'values = values.replace("NEW.made_at", "coalesce(NEW.made_at, CURRENT_TIMESTAMP)")\n'
        "op.execute(f\"CREATE TRIGGER @_i INSTEAD OF INSERT ON @ BEGIN INSERT INTO @_renamed ({', '.join(columns)}) "
        'VALUES ({values}); END")\n'
        'changes = ", ".join(f"{one} = NEW.{one}" for one in columns)\n'
        'op.execute(f"CREATE TRIGGER @_u INSTEAD OF UPDATE ON @ BEGIN UPDATE @_renamed SET {changes} '
        'WHERE id = OLD.id; END")\n'
        'op.execute("CREATE TRIGGER @_d INSTEAD OF DELETE ON @ BEGIN DELETE FROM @_renamed WHERE id = OLD.id; END")\n',
        ADDITIVE,
        only=("sqlite",),
    ),
    "narrowed_text": Case(BATCH + 'batch.alter_column("code", type_=sa.String(10))', (ADDITIVE, NEW_FIRST)),
    "widened_text": Case(BATCH + 'batch.alter_column("code", type_=sa.String(200))', ADDITIVE),
    "widened_to_text": Case(BATCH + 'batch.alter_column("code", type_=sa.Text())', ADDITIVE),
    "widened_integer": Case(BATCH + 'batch.alter_column("other_id", type_=sa.BigInteger())', ADDITIVE),
    "narrowed_integer": Case(BATCH + 'batch.alter_column("other_id", type_=sa.SmallInteger())', (ADDITIVE, NEW_FIRST)),
    "narrowed_scale": Case(BATCH + 'batch.alter_column("price", type_=sa.Numeric(8, 2))', (ADDITIVE, NEW_FIRST)),
    "integer_to_text": Case(BATCH + 'batch.alter_column("other_id", type_=sa.Text())', (NEW_FIRST, BREAKING)),
    "text_to_uuid": Case(
        'op.execute("ALTER TABLE @ ALTER note TYPE uuid USING NULL::uuid")', BREAKING, only=("postgresql",)
    ),
    "time_zone": Case(BATCH + 'batch.alter_column("made_at", type_=sa.DateTime(timezone=True))', ADDITIVE),
    "new_check": Case(BATCH + 'batch.create_check_constraint("@_some", "amount < 100")', NEW_FIRST, certain=False),
    "new_check_of_words": Case(
        BATCH + "batch.create_check_constraint(\"@_some\", \"note IN ('good', 'bad')\")",
        NEW_FIRST,
        certain=False,
        before='op.execute("UPDATE @ SET note = NULL")',
    ),
    "new_check_that_holds": Case(BATCH + 'batch.create_check_constraint("@_some", "amount >= -5")', ADDITIVE),
    "new_check_that_nothing_passes": Case(
        BATCH + 'batch.create_check_constraint("@_some", "note IS NULL")', NEW_FIRST, certain=False
    ),
    "new_unique": Case(BATCH + 'batch.create_unique_constraint("@_some", ["code"])', NEW_FIRST, certain=False),
    "new_unique_index": Case('op.create_index("@_some", "@", ["code"], unique=True)', NEW_FIRST, certain=False),
    "new_foreign_key": Case(
        BATCH + 'batch.create_foreign_key("@_some", "owners", ["other_id"], ["id"])', NEW_FIRST, certain=False
    ),
    "new_foreign_key_to_an_empty_table": Case(
        'op.execute("UPDATE @ SET other_id = NULL")\nop.execute("DELETE FROM @_empty")\n'
        + BATCH
        + 'batch.create_foreign_key("@_some", "@_empty", ["other_id"], ["id"])',
        NEW_FIRST,
        certain=False,
        before='op.create_table("@_empty", sa.Column("id", sa.Integer(), primary_key=True))',
    ),
    "label_removed": Case(
        BATCH + 'batch.drop_constraint("@_status", type_="check")\n'
        '    batch.create_check_constraint("@_status", "status IN (\'new\')")',
        NEW_FIRST,
        only=("sqlite",),
    ),
    "label_removed_from_type": Case(
        "op.execute(\"UPDATE @ SET status = 'new'\")\n"
        'op.execute("ALTER TYPE @_status RENAME TO @_status_old")\n'
        "op.execute(\"CREATE TYPE @_status AS ENUM ('new')\")\n"
        'op.execute("ALTER TABLE @ ALTER status TYPE @_status USING status::text::@_status")\n'
        'op.execute("DROP TYPE @_status_old")',
        NEW_FIRST,
        only=("postgresql",),
    ),
    "label_added": Case(
        "with op.get_context().autocommit_block():\n    op.execute(\"ALTER TYPE @_status ADD VALUE 'late'\")",
        ADDITIVE,
        only=("postgresql",),
    ),
    "new_table": Case('op.create_table("@_more", sa.Column("id", sa.Integer(), primary_key=True))', ADDITIVE),
    "new_table_that_refers": Case(
        'op.create_table("@_more", sa.Column("id", sa.Integer(), sa.ForeignKey("@.id"), primary_key=True))', ADDITIVE
    ),
    "new_index": Case('op.create_index("@_some", "@", ["code"])', ADDITIVE),
    "set_not_null": Case(
        "op.execute(\"UPDATE @ SET note = '' WHERE note IS NULL\")\n"
        + BATCH
        + 'batch.alter_column("note", existing_type=sa.String(40), nullable=False)',
        NEW_FIRST,
    ),
    "set_not_null_already_checked": Case(
        BATCH + 'batch.alter_column("note", existing_type=sa.String(40), nullable=False)',
        ADDITIVE,
        before="op.execute(\"UPDATE @ SET note = '' WHERE note IS NULL\")\n"
        + BATCH
        + 'batch.create_check_constraint("@_some", "note IS NOT NULL")',
    ),
    "dropped_not_null": Case(
        BATCH + 'batch.alter_column("code", existing_type=sa.String(20), nullable=True)', ADDITIVE
    ),
    "default_removed": Case(BATCH + 'batch.alter_column("amount", server_default=None)', NEW_FIRST),
    "default_added": Case(BATCH + 'batch.alter_column("code", server_default="x")', ADDITIVE),
    "constraint_dropped": Case(BATCH + 'batch.drop_constraint("ck_@_amount", type_="check")', ADDITIVE),
    "updates_rejected": Case(TRIGGER_SQLITE.format(event="UPDATE"), NEW_FIRST, only=("sqlite",)),
    "deletes_rejected": Case(TRIGGER_SQLITE.format(event="DELETE"), NEW_FIRST, only=("sqlite",)),
    "updates_rejected_by_function": Case(
        TRIGGER_POSTGRESQL.format(event="UPDATE", body="RAISE EXCEPTION 'not any more';"),
        NEW_FIRST,
        only=("postgresql",),
    ),
    "inserts_swallowed": Case(
        TRIGGER_POSTGRESQL.format(event="INSERT", body="RETURN NULL;"), NEW_FIRST, only=("postgresql",)
    ),
    "harmless_trigger": Case(
        TRIGGER_POSTGRESQL.format(event="INSERT OR UPDATE", body="NEW.made_at := now(); RETURN NEW;"),
        ADDITIVE,
        only=("postgresql",),
    ),
    "row_security": Case('op.execute("ALTER TABLE @ ENABLE ROW LEVEL SECURITY")', NEW_FIRST, only=("postgresql",)),
    "row_security_that_lets_through": Case(
        'op.execute("ALTER TABLE @ ENABLE ROW LEVEL SECURITY")\nop.execute("CREATE POLICY p ON @ USING (true)")',
        ADDITIVE,
        only=("postgresql",),
    ),
    "unique_regardless_of_case": Case(
        'op.execute("CREATE UNIQUE INDEX @_some ON @ (lower(code))")', NEW_FIRST, certain=False
    ),
    "unique_of_some_rows": Case(
        'op.drop_index("@_code", "@")\nop.execute("CREATE UNIQUE INDEX @_code ON @ (code) WHERE other_id IS NULL")',
        NEW_FIRST,
        before='op.create_index("@_code", "@", ["code"], unique=True)',
    ),
    "unique_no_more": Case(
        'op.drop_index("@_code", "@")', ADDITIVE, before='op.create_index("@_code", "@", ["code"], unique=True)'
    ),
    "unique_no_more_but_relied_on": Case(
        'op.drop_index("@_sums_code", "@_sums")',
        NEW_FIRST,
        before='op.execute("CREATE TABLE @_sums (code varchar(20), total integer)")\n'
        'op.create_index("@_sums_code", "@_sums", ["code"], unique=True)\n'
        'add = "INSERT INTO @_sums VALUES (NEW.code, 1) ON CONFLICT (code) DO UPDATE SET total = @_sums.total + 1;"\n'
        'if op.get_bind().dialect.name == "sqlite":\n'
        '    op.execute(f"CREATE TRIGGER @_adds AFTER INSERT ON @ BEGIN {add} END")\n'
        "else:\n"
        '    op.execute(f"CREATE FUNCTION @_adds() RETURNS trigger LANGUAGE plpgsql AS "\n'
        '        f"$$ BEGIN {add} RETURN NEW; END $$")\n'
        '    op.execute("CREATE TRIGGER @_adds AFTER INSERT ON @ FOR EACH ROW EXECUTE FUNCTION @_adds()")',
    ),
    "other_type_beside_unique": Case(
        'op.execute("ALTER TABLE @ ALTER price TYPE json USING to_json(price)")',
        BREAKING,
        before='op.create_index("@_owned", "@", ["code", "amount"], unique=True)',
        only=("postgresql",),
    ),
    "identity": Case("op.execute(\"UPDATE @ SET note = 'x'\")", ADDITIVE),
    "conflicts_no_longer_replaced": Case(
        'op.execute("DROP TABLE @_pages")\n'
        'op.execute("CREATE TABLE @_pages (id integer PRIMARY KEY, url text UNIQUE)")',
        NEW_FIRST,
        before='op.execute("CREATE TABLE @_pages (id integer PRIMARY KEY, url text UNIQUE ON CONFLICT REPLACE)")',
        only=("sqlite",),
    ),
    "dropped_key_of_nobody": Case(
        BATCH + 'batch.drop_constraint("uq_@", type_="unique")',
        ADDITIVE,
        before=BATCH + 'batch.create_unique_constraint("uq_@", ["code", "amount"])',
    ),
    "dropped_key_of_a_function": Case(
        'op.drop_constraint("uq_@", "@")',
        NEW_FIRST,
        before='op.create_unique_constraint("uq_@", "@", ["code", "amount"])\n'
        'op.execute("CREATE FUNCTION @_book(given text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN '
        "INSERT INTO @ AS known (code, status) VALUES (given, 'new') ON CONFLICT (amount, code) "
        'DO UPDATE SET note = known.note; END $$")',
        only=("postgresql",),
    ),
    "emptied_no_more": Case(
        'if op.get_bind().dialect.name == "sqlite":\n'
        '    op.execute("CREATE TRIGGER @_kept BEFORE UPDATE ON @ WHEN NEW.note IS NULL BEGIN '
        "SELECT RAISE(ABORT, 'a note is wanted'); END\")\n"
        "else:\n"
        '    op.execute("CREATE FUNCTION @_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN '
        "IF NEW.note IS NULL THEN RAISE 'a note is wanted'; END IF; RETURN NEW; END $$\")\n"
        '    op.execute("CREATE TRIGGER @_kept BEFORE UPDATE ON @ FOR EACH ROW EXECUTE FUNCTION @_kept()")',
        NEW_FIRST,
    ),
    "children_left_behind": Case(
        'op.drop_constraint("fk_@_lines", "@_lines", type_="foreignkey")',
        NEW_FIRST,
        before='op.create_table("@_lines", sa.Column("id", sa.Integer(), primary_key=True),\n'
        '    sa.Column("parent", sa.Integer(), sa.ForeignKey("@.id", name="fk_@_lines", ondelete="CASCADE")))',
        only=("postgresql",),
    ),
    "children_never_taken": Case(
        'op.drop_constraint("fk_@_lines", "@_lines", type_="foreignkey")',
        ADDITIVE,
        before='op.create_table("@_lines", sa.Column("id", sa.Integer(), primary_key=True),\n'
        '    sa.Column("parent", sa.Integer(), sa.ForeignKey("@.id", name="fk_@_lines")))',
        only=("postgresql",),
    ),
    # The last one: while a view is broken, SQLite renames no table.
    "dropped_under_view": Case(
        'op.drop_table("@")',
        NEW_FIRST,
        before='op.execute("CREATE VIEW @_codes AS SELECT code FROM @")',
        only=("sqlite",),
    ),
}


class Checked(dict[Dialect, Compatibility]):
    """Every case, checked on an engine when that is asked for: one chain, with a table and a revision for each case.

    Args:
        directory: Where the chains are written.
        server: The PostgreSQL server for scratch databases.
    """

    def __init__(self, directory: Path, server: str) -> None:
        super().__init__()
        self._directory = directory
        self._settings = Settings.from_env(scratch_database_url=server)

    def __missing__(self, dialect: Dialect) -> Compatibility:
        self[dialect] = anyio.run(self._check, dialect)
        return self[dialect]

    async def _check(self, dialect: Dialect) -> Compatibility:
        cases = {name: case for name, case in CASES.items() if dialect in case.only}
        first = 'op.create_table("owners", sa.Column("id", sa.Integer(), primary_key=True))\n'
        first += "".join(TABLE.format(name=name) for name in cases)
        second = "".join(f"{case.before}\n".replace("@", name) for name, case in cases.items() if case.before)
        ups = [case.upgrade.replace("@", name) for name, case in cases.items()]
        chain = environment(self._directory / dialect, first, second, *ups)
        async with ScratchDatabases(self._settings) as scratch:
            revisions = read_history(chain).ordered()[2:]
            return await check_compatibility(chain, scratch, dialect, revisions, classes=None)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory, postgres_admin_url: str) -> Checked:
    """Return what the check says of every case."""
    return Checked(tmp_path_factory.mktemp("compatibility"), postgres_admin_url)


def verdicts(found: Compatibility, dialect: Dialect) -> dict[str, Verdict]:
    """Return the verdict of each case."""
    names = [name for name, case in CASES.items() if dialect in case.only]
    assert found.failure == ""
    return dict(zip(names, (one.verdict for one in found.verdicts), strict=True))


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        # All of one engine in one process, which checks them together.
        pytest.param(name, dialect, marks=pytest.mark.xdist_group(f"compatibility-{dialect}"))
        for name, case in CASES.items()
        for dialect in case.only
    ],
)
def test_verdict(checked: Checked, name: str, dialect: Dialect) -> None:
    """A revision is additive exactly if the statements of the release before it still work."""
    found = checked[dialect]
    case = CASES[name]
    place = [one for one in CASES if dialect in CASES[one].only].index(name)
    assert verdicts(found, dialect)[name] is case.expected(dialect), found.verdicts[place].reasons
    about = [one for one in found.findings if one.revision == found.verdicts[place].revision]
    claimed = {effect for one in about for effect in one.effects}
    broken = case.expected(dialect) is not ADDITIVE
    assert claimed == ({Effect.BREAKS_PREVIOUS_RELEASE} if broken and case.certain else set())
    assert bool(about) == broken
    for one in about:
        assert one.evidence is not None
        assert one.evidence.statement
        assert one.location is not None
        assert one.location.line is not None
        assert (one.code == "breaks-previous-release") == bool(one.effects) == (not one.depends_on)


def test_the_line_of_the_operation_is_named(tmp_path: Path) -> None:
    """A finding points at the operation on its column, else at that on its table, else at the way up."""
    path = tmp_path / "revision.py"
    path.write_text(
        'from alembic import op\n\nTABLE = "orders"\n\n\ndef upgrade():\n'
        '    op.execute("UPDATE orders SET remark = note")\n'
        '    with op.batch_alter_table("orders") as batch:\n        batch.drop_column("note")\n'
        '    for name in ("lines", "parts"):\n        op.drop_table(name)\n'
        '    op.alter_column(TABLE, "size", nullable=False)\n'
    )
    lines = [locate(path, *one).line for one in (("orders", "note"), ("s.parts", None), ("orders", "size"), ("x", "y"))]
    assert lines == [9, 11, 12, 6]


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ((), "Nothing to deploy"),
        ((ADDITIVE, ADDITIVE), "Upgrade the database first, then deploy"),
        ((NEW_FIRST,), "Deploy the new code, wait until the old code is gone, then upgrade the database"),
        ((ADDITIVE, NEW_FIRST), "Upgrade the database to 1. Deploy the new code, wait"),
        ((NEW_FIRST, ADDITIVE), "1 must wait until the old code is gone"),
        ((ADDITIVE, BREAKING), "No order keeps every running release working: 2 breaks"),
    ],
)
def test_deploy_order(verdicts: tuple[Verdict, ...], words: str) -> None:
    """The order in words follows from the verdicts."""
    judged = [RevisionVerdict(str(number), one) for number, one in enumerate(verdicts, 1)]
    assert deploy_order(judged).startswith(words)


@pytest.mark.anyio
async def test_marks_need_both_engines(tmp_path: Path, postgres_admin_url: str) -> None:
    """A revision is marked additive if it is on both engines, and breaking if it is not on one."""
    first = TABLE.format(name="orders").replace("owners.id", "orders.id")
    typed = 'op.execute("ALTER TABLE orders ALTER note TYPE uuid USING NULL::uuid")\n'
    on_server = f"if op.get_bind().dialect.name == 'postgresql':\n    {typed}"
    nullable = 'op.add_column("orders", sa.Column("more", sa.Text()))\n'
    chain = environment(tmp_path, first, nullable, on_server, "raise RuntimeError('never')")
    async with ScratchDatabases(Settings.from_env(scratch_database_url=postgres_admin_url)) as scratch:
        marks = await additive_marks(chain, scratch, ["002", "003", "004"])
        assert marks == {"002": True, "003": False}
        found = await check_compatibility(chain, scratch, "sqlite", read_history(chain).ordered()[3:], classes=None)
    assert (found.verdicts, found.findings) == ((), ())
    assert "never" in found.failure


@pytest.mark.anyio
@pytest.mark.parametrize("given", ["nobody", "all"])
async def test_what_a_trigger_writes_into(given: str, tmp_path: Path, postgres_admin_url: str) -> None:
    """Where roles were given the tables, a trigger that writes into one that nobody was given stops the old release."""
    first = 'op.create_table("orders", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("note", sa.Text()))\n'
    first += 'op.execute("GRANT ALL ON orders TO PUBLIC")\n'
    second = 'op.create_table("orders_log", sa.Column("id", sa.Integer(), primary_key=True))\n'
    second += TRIGGER_POSTGRESQL.format(event="INSERT", body="INSERT INTO orders_log VALUES (NEW.id); RETURN NEW;")
    if given == "all":
        second += 'op.execute("GRANT ALL ON orders_log TO PUBLIC")\n'
    chain = environment(tmp_path, first, second.replace("@", "orders"))
    async with ScratchDatabases(Settings.from_env(scratch_database_url=postgres_admin_url)) as scratch:
        revisions = read_history(chain).ordered()[1:]
        found = await check_compatibility(chain, scratch, "postgresql", revisions, classes=None)
    assert [one.verdict for one in found.verdicts] == [BREAKING if given == "nobody" else ADDITIVE]
    assert all("orders_log" in one.message for one in found.findings)


@pytest.mark.anyio
@pytest.mark.parametrize(("condition", "verdict"), [("true", ADDITIVE), ("id < 0", NEW_FIRST)])
async def test_row_security_of_the_role_that_was_given_a_table(
    condition: str, verdict: Verdict, tmp_path: Path, postgres_admin_url: str
) -> None:
    """The old release is played by who was given its tables before: a policy for that role lets it through."""
    # A role that every server has.
    first = 'op.create_table("orders", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("note", sa.Text()))\n'
    first += 'op.execute("GRANT ALL ON orders TO pg_monitor")\n'
    second = 'op.execute("ALTER TABLE orders ENABLE ROW LEVEL SECURITY")\n'
    second += f'op.execute("CREATE POLICY theirs ON orders TO pg_monitor USING ({condition})")\n'
    chain = environment(tmp_path, first, second)
    async with ScratchDatabases(Settings.from_env(scratch_database_url=postgres_admin_url)) as scratch:
        revisions = read_history(chain).ordered()[1:]
        found = await check_compatibility(chain, scratch, "postgresql", revisions, classes=None)
    assert [one.verdict for one in found.verdicts] == [verdict]


@pytest.mark.anyio
async def test_rows_that_point_at_a_refused_row(tmp_path: Path, postgres_admin_url: str) -> None:
    """Only the table that refuses a row is named, and none of those whose rows would have pointed at it."""
    first = (
        'op.create_table("people", sa.Column("id", sa.Integer(), primary_key=True),\n'
        '    sa.Column("role", sa.Text(), nullable=False))\n'
        'op.create_table("notes", sa.Column("id", sa.Integer(), primary_key=True),\n'
        '    sa.Column("person_id", sa.Integer(), sa.ForeignKey("people.id"), nullable=False))\n'
    )
    second = (
        "op.execute(\"CREATE TYPE role AS ENUM ('owner')\")\n"
        'op.execute("ALTER TABLE people ALTER role TYPE role USING role::role")\n'
    )
    chain = environment(tmp_path, first, second)
    async with ScratchDatabases(Settings.from_env(scratch_database_url=postgres_admin_url)) as scratch:
        revisions = read_history(chain).ordered()[1:]
        found = await check_compatibility(chain, scratch, "postgresql", revisions, classes=None)
    assert {one.evidence.relation for one in found.findings if one.evidence} == {"people"}
