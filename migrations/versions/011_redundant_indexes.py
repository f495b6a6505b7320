"""Drop the indexes that serve no query which another does not serve.

TBCV 2.0 indexed several columns twice, and several that lead a wider index.

Revision ID: 011
Revises: 010
Create Date: 2026-11-22 16:50:00+00:00
"""

from alembic import op

revision = "011"
down_revision = "010"
branch_labels = None
depends_on = None

# table, index, columns; what serves the same queries
REDUNDANT = (
    ("workflows", "ix_workflows_state", ["state"]),  # idx_workflows_state_created
    ("workflows", "ix_workflows_type", ["type"]),  # idx_workflows_type_state
    ("checkpoints", "ix_checkpoints_workflow_id", ["workflow_id"]),  # idx_checkpoints_workflow_step
    ("validation_results", "idx_validation_created", ["created_at"]),  # ix_validation_results_created_at
    ("validation_results", "ix_validation_results_file_path", ["file_path"]),  # idx_validation_file_status
    ("recommendations", "idx_recommendations_status", ["status"]),  # ix_recommendations_status
    ("recommendations", "idx_recommendations_type", ["type"]),  # ix_recommendations_type
    (
        "recommendations",
        "ix_recommendations_validation_id",
        ["validation_id"],
    ),  # idx_recommendations_validation
    ("audit_logs", "idx_audit_action", ["action"]),  # ix_audit_logs_action
    ("audit_logs", "idx_audit_created", ["created_at"]),  # ix_audit_logs_created_at
    ("cache_entries", "ix_cache_entries_agent_id", ["agent_id"]),  # idx_cache_agent_method
    ("cache_entries", "idx_cache_expires", ["expires_at"]),  # ix_cache_entries_expires_at
)


def upgrade() -> None:
    for table, index, _columns in REDUNDANT:
        op.drop_index(index, table)


def downgrade() -> None:
    for table, index, columns in REDUNDANT:
        op.create_index(index, table, columns)
