"""Let JSON be JSON: JSONB on PostgreSQL, valid JSON text on SQLite.

TBCV 2.0 kept JSON in text columns that could hold anything. A text that is no JSON becomes the JSON string of
that text. The way back gives text again: on PostgreSQL the same document in PostgreSQL's spelling.

Revision ID: 010
Revises: 009
Create Date: 2026-11-22 16:45:00+00:00
"""

from alembic import op

from tbcv.migrate.repairs import Repairs

revision = "010"
down_revision = "009"
branch_labels = None
depends_on = None

COLUMNS = {
    "workflows": ("input_params", "metadata"),
    "validation_results": ("rules_applied", "validation_results", "validation_types", "comparison_data"),
    "recommendations": ("metadata",),
    "audit_logs": ("before_state", "after_state", "changes", "metadata"),
    "metrics": ("metadata",),
}

# How to tell whether a column holds JSON, and the JSON string of what it holds. SQLite reads text up to a NUL.
SQLITE = (
    "(json_valid({0}) AND instr({0}, char(0)) = 0)",
    "json_quote(iif(typeof({0}) = 'blob', hex({0}), {0}))",
)
POSTGRESQL = ("pg_temp.tbcv_is_json({0})", "to_json({0})::text")

# What jsonb accepts is known to jsonb alone: it refuses escapes of NUL and lone surrogates, which json accepts.
CREATE_TEST = """
CREATE FUNCTION pg_temp.tbcv_is_json(document text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM document::jsonb;
    RETURN true;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN false;
END
$$
"""


def upgrade() -> None:
    sqlite = op.get_context().dialect.name == "sqlite"
    if not sqlite:
        op.execute(CREATE_TEST)
    valid, quoted = SQLITE if sqlite else POSTGRESQL
    repairs = Repairs(revision)
    for table, columns in COLUMNS.items():
        for column in columns:
            repairs.change(
                table,
                column,
                to=quoted.format(column),
                where=f"{column} IS NOT NULL AND NOT {valid.format(column)}",
                reason="it was not valid JSON",
            )
    if not sqlite:
        op.execute("DROP FUNCTION pg_temp.tbcv_is_json(text)")
        _convert("JSONB")


def downgrade() -> None:
    if op.get_context().dialect.name != "sqlite":
        _convert("TEXT")
    repairs = Repairs(revision)
    for table, columns in COLUMNS.items():
        for column in columns:
            repairs.undo(table, column)
    repairs.forget()


def _convert(kind: str) -> None:
    for table, columns in COLUMNS.items():
        changes = (f"ALTER COLUMN {name} TYPE {kind} USING {name}::{kind}" for name in columns)
        op.execute(f"ALTER TABLE {table} " + ", ".join(changes))
