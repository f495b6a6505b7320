"""Give timestamps their time zone on PostgreSQL.

TBCV 2.0 wrote UTC into columns without a time zone; the instants stay what they are. SQLite has no such type: its
text stays UTC, and the models read and write it as such.

Revision ID: 005
Revises: 004
Create Date: 2026-11-22 16:20:00+00:00
"""

from alembic import op

revision = "005"
down_revision = "004"
branch_labels = None
depends_on = None

COLUMNS = {
    "workflows": ("created_at", "updated_at", "completed_at"),
    "checkpoints": ("created_at",),
    "validation_results": ("created_at", "updated_at"),
    "recommendations": ("reviewed_at", "applied_at", "created_at", "updated_at"),
    "audit_logs": ("created_at",),
    "cache_entries": ("created_at", "expires_at", "last_accessed"),
    "metrics": ("created_at",),
}


def upgrade() -> None:
    _convert("TIMESTAMP WITH TIME ZONE")


def downgrade() -> None:
    _convert("TIMESTAMP WITHOUT TIME ZONE")


def _convert(kind: str) -> None:
    if op.get_context().dialect.name == "sqlite":
        return
    for table, columns in COLUMNS.items():
        # One statement per table, so that PostgreSQL rewrites it once.
        changes = (f"ALTER COLUMN {name} TYPE {kind} USING {name} AT TIME ZONE 'UTC'" for name in columns)
        op.execute(f"ALTER TABLE {table} " + ", ".join(changes))
