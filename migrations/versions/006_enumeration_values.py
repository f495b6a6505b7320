"""Store enumerations as their lower-case values, and let the database refuse any other.

TBCV 2.0 stored the upper-case names of its members. What is no member gets the nearest honest value and is
recorded: the status ``completed`` of older installations becomes ``pass``.

Revision ID: 006
Revises: 005
Create Date: 2026-11-22 16:25:00+00:00
"""

from alembic import op

from tbcv.migrate.repairs import Repairs

revision = "006"
down_revision = "005"
branch_labels = None
depends_on = None

STATES = ("pending", "running", "paused", "completed", "failed", "cancelled")
VERDICTS = ("pass", "fail", "warning", "skipped", "approved", "rejected", "enhanced")
STAGES = ("proposed", "pending", "approved", "rejected", "applied")

# table, column, members, what an unknown value becomes, and aliases of members
ENUMERATIONS: tuple[tuple[str, str, tuple[str, ...], str, dict[str, str]], ...] = (
    ("workflows", "state", STATES, "failed", {}),
    ("validation_results", "status", VERDICTS, "skipped", {"completed": "pass"}),
    ("recommendations", "status", STAGES, "proposed", {}),
)


def upgrade() -> None:
    repairs = Repairs(revision)
    for table, column, members, unknown, aliases in ENUMERATIONS:
        for alias, member in aliases.items():
            repairs.change(
                table,
                column,
                to=f"'{member.upper()}'",
                where=f"{_lower(column)} = '{alias}'",
                reason=f"{alias} means {member}",
            )
        repairs.change(
            table,
            column,
            to=_upper(column),
            where=f"{column} <> {_upper(column)} AND {_lower(column)} IN {_sql(members)}",
            reason="it was not in upper case",
        )
        repairs.change(
            table,
            column,
            to=f"'{unknown.upper()}'",
            where=f"{_lower(column)} NOT IN {_sql(members)}",
            reason="it was no member of the enumeration",
        )
        op.execute(f"UPDATE {table} SET {column} = {_lower(column)}")
        with op.batch_alter_table(table) as batch:
            batch.create_check_constraint(op.f(f"ck_{table}_{column}"), f"{column} IN {_sql(members)}")


def downgrade() -> None:
    repairs = Repairs(revision)
    for table, column, _members, _unknown, _aliases in reversed(ENUMERATIONS):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(op.f(f"ck_{table}_{column}"), type_="check")
        op.execute(f"UPDATE {table} SET {column} = {_upper(column)}")
        repairs.undo(table, column)
    repairs.forget()


def _sql(members: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{member}'" for member in members) + ")"


def _lower(column: str) -> str:
    return f"lower({column}{_ascii()})"


def _upper(column: str) -> str:
    return f"upper({column}{_ascii()})"


def _ascii() -> str:
    # In a Turkish database the lower case of PENDING is no pending; SQLite knows no locale.
    return "" if op.get_context().dialect.name == "sqlite" else ' COLLATE "C"'
