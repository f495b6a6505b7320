"""The schema of TBCV 2.0.

Exactly the seven tables as revision 001 of TBCV 2.0 created them, unnamed constraints included: a database
that 2.0 stamped with 001 stands at this revision.

Revision ID: 001
Revises:
Create Date: 2026-11-22 16:00:00+00:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import CreateIndex, CreateTable

revision = "001"
down_revision = None
branch_labels = None
depends_on = None

# Its own MetaData: 2.0 had no naming convention, and Alembic would apply that of today's models.
_schema = sa.MetaData()

sa.Table(
    "workflows",
    _schema,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("type", sa.String(50), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("input_params", sa.Text),
    sa.Column("metadata", sa.Text),
    sa.Column("total_steps", sa.Integer),
    sa.Column("current_step", sa.Integer),
    sa.Column("progress_percent", sa.Integer),
    sa.Column("error_message", sa.Text),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("completed_at", sa.DateTime),
    sa.Index("idx_workflows_state_created", "state", "created_at"),
    sa.Index("idx_workflows_type_state", "type", "state"),
    sa.Index("ix_workflows_state", "state"),
    sa.Index("ix_workflows_type", "type"),
)
sa.Table(
    "checkpoints",
    _schema,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("workflow_id", sa.String(36), sa.ForeignKey("workflows.id"), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("step_number", sa.Integer, nullable=False),
    sa.Column("state_data", sa.LargeBinary),
    sa.Column("created_at", sa.DateTime),
    sa.Column("validation_hash", sa.String(32)),
    sa.Column("can_resume_from", sa.Boolean),
    sa.Index("idx_checkpoints_workflow_step", "workflow_id", "step_number"),
    sa.Index("ix_checkpoints_workflow_id", "workflow_id"),
)
sa.Table(
    "validation_results",
    _schema,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("workflow_id", sa.String(36), sa.ForeignKey("workflows.id")),
    sa.Column("file_path", sa.String(1024)),
    sa.Column("rules_applied", sa.Text),
    sa.Column("validation_results", sa.Text),
    sa.Column("validation_types", sa.Text),
    sa.Column("parent_validation_id", sa.String(36), sa.ForeignKey("validation_results.id")),
    sa.Column("comparison_data", sa.Text),
    sa.Column("notes", sa.Text),
    sa.Column("severity", sa.String(20)),
    sa.Column("status", sa.String(20)),
    sa.Column("content_hash", sa.String(64)),
    sa.Column("ast_hash", sa.String(64)),
    sa.Column("run_id", sa.String(64)),
    sa.Column("file_hash", sa.String(64)),
    sa.Column("version_number", sa.Integer),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Index("idx_validation_created", "created_at"),
    sa.Index("idx_validation_file_severity", "file_path", "severity"),
    sa.Index("idx_validation_file_status", "file_path", "status"),
    sa.Index("ix_validation_results_content_hash", "content_hash"),
    sa.Index("ix_validation_results_created_at", "created_at"),
    sa.Index("ix_validation_results_file_hash", "file_hash"),
    sa.Index("ix_validation_results_file_path", "file_path"),
    sa.Index("ix_validation_results_run_id", "run_id"),
    sa.Index("ix_validation_results_severity", "severity"),
    sa.Index("ix_validation_results_status", "status"),
    sa.Index("ix_validation_results_workflow_id", "workflow_id"),
)
sa.Table(
    "recommendations",
    _schema,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("validation_id", sa.String(36), sa.ForeignKey("validation_results.id"), nullable=False),
    sa.Column("type", sa.String(50), nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("scope", sa.String(200)),
    sa.Column("instruction", sa.Text),
    sa.Column("rationale", sa.Text),
    sa.Column("severity", sa.String(20)),
    sa.Column("original_content", sa.Text),
    sa.Column("proposed_content", sa.Text),
    sa.Column("diff", sa.Text),
    sa.Column("confidence", sa.Float),
    sa.Column("priority", sa.String(20)),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("reviewed_by", sa.String(100)),
    sa.Column("reviewed_at", sa.DateTime),
    sa.Column("review_notes", sa.Text),
    sa.Column("applied_at", sa.DateTime),
    sa.Column("applied_by", sa.String(100)),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("metadata", sa.Text),
    sa.Index("idx_recommendations_status", "status"),
    sa.Index("idx_recommendations_type", "type"),
    sa.Index("idx_recommendations_validation", "validation_id", "status"),
    sa.Index("ix_recommendations_created_at", "created_at"),
    sa.Index("ix_recommendations_status", "status"),
    sa.Index("ix_recommendations_type", "type"),
    sa.Index("ix_recommendations_validation_id", "validation_id"),
)
sa.Table(
    "audit_logs",
    _schema,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("recommendation_id", sa.String(36), sa.ForeignKey("recommendations.id")),
    sa.Column("action", sa.String(50), nullable=False),
    sa.Column("actor", sa.String(100)),
    sa.Column("actor_type", sa.String(20)),
    sa.Column("before_state", sa.Text),
    sa.Column("after_state", sa.Text),
    sa.Column("changes", sa.Text),
    sa.Column("notes", sa.Text),
    sa.Column("created_at", sa.DateTime),
    sa.Column("metadata", sa.Text),
    sa.Index("idx_audit_action", "action"),
    sa.Index("idx_audit_created", "created_at"),
    sa.Index("ix_audit_logs_action", "action"),
    sa.Index("ix_audit_logs_created_at", "created_at"),
    sa.Index("ix_audit_logs_recommendation_id", "recommendation_id"),
)
sa.Table(
    "cache_entries",
    _schema,
    sa.Column("cache_key", sa.String(200), primary_key=True),
    sa.Column("agent_id", sa.String(100), nullable=False),
    sa.Column("method_name", sa.String(100), nullable=False),
    sa.Column("input_hash", sa.String(64), nullable=False),
    sa.Column("result_data", sa.LargeBinary),
    sa.Column("created_at", sa.DateTime),
    sa.Column("expires_at", sa.DateTime, nullable=False),
    sa.Column("access_count", sa.Integer),
    sa.Column("last_accessed", sa.DateTime),
    sa.Column("size_bytes", sa.Integer),
    sa.Index("idx_cache_agent_method", "agent_id", "method_name"),
    sa.Index("idx_cache_expires", "expires_at"),
    sa.Index("ix_cache_entries_agent_id", "agent_id"),
    sa.Index("ix_cache_entries_expires_at", "expires_at"),
    sa.Index("ix_cache_entries_method_name", "method_name"),
)
sa.Table(
    "metrics",
    _schema,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(100)),
    sa.Column("value", sa.Float),
    sa.Column("created_at", sa.DateTime),
    sa.Column("metadata", sa.Text),
    sa.Index("ix_metrics_created_at", "created_at"),
    sa.Index("ix_metrics_name", "name"),
)


def upgrade() -> None:
    for table in _schema.sorted_tables:
        op.execute(CreateTable(table))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            op.execute(CreateIndex(index))


def downgrade() -> None:
    for table in reversed(_schema.sorted_tables):
        op.drop_table(table.name)
