"""Give every constraint its conventional name.

TBCV 2.0 left primary and foreign keys unnamed: PostgreSQL made names up, SQLite has none, and no later revision
could address them by one name on both. PostgreSQL renames; SQLite rebuilds, since it cannot name what exists.

Revision ID: 002
Revises: 001
Create Date: 2026-11-22 16:05:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "002"
down_revision = "001"
branch_labels = None
depends_on = None

TABLES = (
    "workflows",
    "checkpoints",
    "validation_results",
    "recommendations",
    "audit_logs",
    "cache_entries",
    "metrics",
)
FOREIGN_KEYS = (
    ("checkpoints", "workflow_id", "workflows"),
    ("validation_results", "workflow_id", "workflows"),
    ("validation_results", "parent_validation_id", "validation_results"),
    ("recommendations", "validation_id", "validation_results"),
    ("audit_logs", "recommendation_id", "recommendations"),
)
CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
}


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        for table in TABLES:
            with op.batch_alter_table(table, recreate="always", naming_convention=CONVENTION):
                pass
        return
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {table}_pkey TO pk_{table}")
    for table, column, referred in FOREIGN_KEYS:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {table}_{column}_fkey TO fk_{table}_{column}_{referred}")


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        _unname()
        return
    for table, column, referred in FOREIGN_KEYS:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT fk_{table}_{column}_{referred} TO {table}_{column}_fkey")
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT pk_{table} TO {table}_pkey")


def _unname() -> None:
    """Rebuild every table with its keys unnamed again."""
    for name in TABLES:
        table = sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)
        for constraint in table.constraints:
            constraint.name = None
        with op.batch_alter_table(name, recreate="always", copy_from=table):
            pass
