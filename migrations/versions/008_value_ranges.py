"""Keep numbers within their ranges.

A value outside is moved to the nearest bound and recorded.

Revision ID: 008
Revises: 007
Create Date: 2026-11-22 16:35:00+00:00
"""

from alembic import op

from tbcv.migrate.repairs import Repairs

revision = "008"
down_revision = "007"
branch_labels = None
depends_on = None

# table, column, lowest, highest (None: no bound)
RANGES = (
    ("workflows", "progress_percent", 0, 100),
    ("workflows", "total_steps", 0, None),
    ("workflows", "current_step", 0, None),
    ("checkpoints", "step_number", 0, None),
    ("validation_results", "version_number", 1, None),
    ("recommendations", "confidence", 0, 1),
    ("cache_entries", "access_count", 0, None),
    ("cache_entries", "size_bytes", 0, None),
)


def upgrade() -> None:
    repairs = Repairs(revision)
    for table, column, lowest, highest in RANGES:
        repairs.change(table, column, to=str(lowest), where=f"{column} < {lowest}", reason=f"it was below {lowest}")
        if highest is not None:
            repairs.change(
                table,
                column,
                to=str(highest),
                where=f"{column} > {highest}",
                reason=f"it was above {highest}",
            )
    for table in _tables():
        with op.batch_alter_table(table) as batch:
            for column, condition in _checks(table):
                batch.create_check_constraint(op.f(f"ck_{table}_{column}_range"), condition)


def downgrade() -> None:
    for table in reversed(_tables()):
        with op.batch_alter_table(table) as batch:
            for column, _condition in _checks(table):
                batch.drop_constraint(op.f(f"ck_{table}_{column}_range"), type_="check")
    repairs = Repairs(revision)
    for table, column, _lowest, _highest in RANGES:
        repairs.undo(table, column)
    repairs.forget()


def _tables() -> list[str]:
    return list(dict.fromkeys(row[0] for row in RANGES))


def _checks(table: str) -> list[tuple[str, str]]:
    return [
        (column, f"{column} >= {low}" if high is None else f"{column} BETWEEN {low} AND {high}")
        for name, column, low, high in RANGES
        if name == table
    ]
