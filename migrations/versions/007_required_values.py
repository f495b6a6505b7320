"""Require the values that the service relies on, and give them defaults.

Where TBCV 2.0 never wrote a value, the row gets the default; a missing time is taken from the row's other times
where it has any.

Revision ID: 007
Revises: 006
Create Date: 2026-11-22 16:30:00+00:00
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from tbcv.migrate.repairs import Repairs

revision = "007"
down_revision = "006"
branch_labels = None
depends_on = None

# table, column, type, server default, and the value for a row that has none (the default where it is None)
REQUIRED = (
    ("workflows", "state", sa.String(20), "'pending'", None),
    ("workflows", "total_steps", sa.Integer(), "0", None),
    ("workflows", "current_step", sa.Integer(), "0", None),
    ("workflows", "progress_percent", sa.Integer(), "0", None),
    ("workflows", "created_at", None, "CURRENT_TIMESTAMP", "coalesce(updated_at, CURRENT_TIMESTAMP)"),
    ("workflows", "updated_at", None, "CURRENT_TIMESTAMP", "coalesce(created_at, CURRENT_TIMESTAMP)"),
    ("checkpoints", "created_at", None, "CURRENT_TIMESTAMP", None),
    ("checkpoints", "can_resume_from", sa.Boolean(), "true", None),
    ("validation_results", "status", sa.String(20), "'skipped'", None),
    ("validation_results", "version_number", sa.Integer(), "1", None),
    (
        "validation_results",
        "created_at",
        None,
        "CURRENT_TIMESTAMP",
        "coalesce(updated_at, CURRENT_TIMESTAMP)",
    ),
    (
        "validation_results",
        "updated_at",
        None,
        "CURRENT_TIMESTAMP",
        "coalesce(created_at, CURRENT_TIMESTAMP)",
    ),
    ("recommendations", "status", sa.String(20), "'proposed'", None),
    ("recommendations", "created_at", None, "CURRENT_TIMESTAMP", "coalesce(updated_at, CURRENT_TIMESTAMP)"),
    ("recommendations", "updated_at", None, "CURRENT_TIMESTAMP", "coalesce(created_at, CURRENT_TIMESTAMP)"),
    ("audit_logs", "created_at", None, "CURRENT_TIMESTAMP", None),
    ("cache_entries", "created_at", None, "CURRENT_TIMESTAMP", "coalesce(last_accessed, CURRENT_TIMESTAMP)"),
    ("cache_entries", "access_count", sa.Integer(), "0", None),
    ("cache_entries", "size_bytes", sa.Integer(), "0", None),
    ("metrics", "name", sa.String(100), "'unnamed'", None),
    ("metrics", "created_at", None, "CURRENT_TIMESTAMP", None),
)
# Required by 2.0 already: they get a default, and keep their NOT NULL on the way back.
ALWAYS_REQUIRED = {("workflows", "state"), ("recommendations", "status")}


def upgrade() -> None:
    repairs = Repairs(revision)
    for table, column, _kind, default, value in REQUIRED:
        repairs.change(table, column, to=value or default, where=f"{column} IS NULL", reason="it had no value")
    for table in _tables():
        with op.batch_alter_table(table) as batch:
            for column, kind, default in _columns(table):
                batch.alter_column(column, existing_type=kind, nullable=False, server_default=sa.text(default))


def downgrade() -> None:
    for table in _tables():
        with op.batch_alter_table(table) as batch:
            for column, kind, _default in _columns(table):
                nullable = (table, column) not in ALWAYS_REQUIRED
                batch.alter_column(column, existing_type=kind, nullable=nullable, server_default=None)
    repairs = Repairs(revision)
    for table, column, _kind, _default, _value in REQUIRED:
        repairs.undo(table, column)
    repairs.forget()


def _tables() -> list[str]:
    return list(dict.fromkeys(row[0] for row in REQUIRED))


def _columns(table: str) -> list[tuple[str, sa.types.TypeEngine[Any], str]]:
    moment = sa.DateTime(timezone=True)
    return [(row[1], row[2] or moment, row[3]) for row in REQUIRED if row[0] == table]
