"""Make every foreign key point at something.

TBCV 2.0 did not enforce foreign keys on SQLite, so its databases hold references to rows that are gone. An
optional reference becomes NULL; a required one gets a parent to point at, marked ``recovered``. PostgreSQL always
enforced them: there the statements find nothing, and the downgrade has nothing that it could put back.

Revision ID: 003
Revises: 002
Create Date: 2026-11-22 16:10:00+00:00
"""

from alembic import op

from tbcv.migrate.repairs import Repairs

revision = "003"
down_revision = "002"
branch_labels = None
depends_on = None

# The downgrade puts the dangling references of 2.0 back; the runner otherwise refuses a step that leaves any.
leaves_dangling_references = "downgrade"

OPTIONAL = (
    ("validation_results", "workflow_id", "workflows"),
    ("validation_results", "parent_validation_id", "validation_results"),
    ("audit_logs", "recommendation_id", "recommendations"),
)


WORKFLOW = {
    "type": "'recovered'",
    "state": "'FAILED'",
    "error_message": "'recovered: the workflow of these checkpoints was missing'",
    "created_at": "CURRENT_TIMESTAMP",
    "updated_at": "CURRENT_TIMESTAMP",
}
VALIDATION = {
    "status": "'SKIPPED'",
    "notes": "'recovered: the validation of these recommendations was missing'",
    "run_id": "'recovered'",
    "version_number": "1",
    "created_at": "CURRENT_TIMESTAMP",
    "updated_at": "CURRENT_TIMESTAMP",
}


def upgrade() -> None:
    repairs = Repairs(revision)
    repairs.recover(parent="workflows", child="checkpoints", column="workflow_id", values=WORKFLOW)
    repairs.recover(parent="validation_results", child="recommendations", column="validation_id", values=VALIDATION)
    for table, column, referred in OPTIONAL:
        repairs.change(
            table,
            column,
            to="NULL",
            where=f"{column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {referred} p WHERE p.id = {table}.{column})",
            reason=f"it named no row of {referred}",
        )


def downgrade() -> None:
    repairs = Repairs(revision)
    if op.get_context().dialect.name == "sqlite":
        for table, column, _ in OPTIONAL:
            repairs.undo(table, column)
        repairs.unrecover("validation_results", VALIDATION)
        repairs.unrecover("workflows", WORKFLOW)
    repairs.forget()
