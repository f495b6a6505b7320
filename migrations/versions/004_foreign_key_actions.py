"""Say what happens to a row when the row it refers to is deleted.

A checkpoint goes with its workflow and a recommendation with its validation; a validation outlives its workflow
and its parent, and an audit row outlives what it audits. Every key that a deletion now searches by has an index.

Revision ID: 004
Revises: 003
Create Date: 2026-11-22 16:15:00+00:00
"""

from alembic import op

revision = "004"
down_revision = "003"
branch_labels = None
depends_on = None

ACTIONS = (
    ("checkpoints", "workflow_id", "workflows", "CASCADE"),
    ("validation_results", "workflow_id", "workflows", "SET NULL"),
    ("validation_results", "parent_validation_id", "validation_results", "SET NULL"),
    ("recommendations", "validation_id", "validation_results", "CASCADE"),
    ("audit_logs", "recommendation_id", "recommendations", "SET NULL"),
)
PARENT_INDEX = "ix_validation_results_parent_validation_id"


def upgrade() -> None:
    op.create_index(PARENT_INDEX, "validation_results", ["parent_validation_id"])
    _replace(with_actions=True)


def downgrade() -> None:
    _replace(with_actions=False)
    op.drop_index(PARENT_INDEX, "validation_results")


def _replace(*, with_actions: bool) -> None:
    for table in dict.fromkeys(row[0] for row in ACTIONS):
        with op.batch_alter_table(table) as batch:
            for _, column, referred, action in (row for row in ACTIONS if row[0] == table):
                name = f"fk_{table}_{column}_{referred}"
                batch.drop_constraint(name, type_="foreignkey")
                batch.create_foreign_key(name, referred, [column], ["id"], ondelete=action if with_actions else None)
