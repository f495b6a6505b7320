"""Number the versions of a file, each number once.

TBCV 2.0 gave every validation the version 1. They are numbered per file by the time of their creation, and by
their id where that is the same; the way back makes every version 1 again. A number other than 1 that 2.0 did not
write is recorded like any repair.

Revision ID: 009
Revises: 008
Create Date: 2026-11-22 16:40:00+00:00
"""

from alembic import op

from tbcv.migrate.repairs import Repairs

revision = "009"
down_revision = "008"
branch_labels = None
depends_on = None

CONSTRAINT = "uq_validation_results_file_path_version_number"
ORDER = "row_number() OVER (PARTITION BY file_path ORDER BY created_at, id)"


def upgrade() -> None:
    repairs = Repairs(revision)
    repairs.change(
        "validation_results",
        "version_number",
        to="1",
        where="file_path IS NOT NULL AND version_number <> 1",
        reason="versions are numbered anew from the times of creation",
    )
    op.execute(
        "UPDATE validation_results SET version_number = numbered.version FROM "
        f"(SELECT id, {ORDER} AS version FROM validation_results WHERE file_path IS NOT NULL) AS numbered "
        "WHERE numbered.id = validation_results.id AND version_number <> numbered.version"
    )
    with op.batch_alter_table("validation_results") as batch:
        batch.create_unique_constraint(op.f(CONSTRAINT), ["file_path", "version_number"])


def downgrade() -> None:
    with op.batch_alter_table("validation_results") as batch:
        batch.drop_constraint(op.f(CONSTRAINT), type_="unique")
    op.execute("UPDATE validation_results SET version_number = 1 WHERE file_path IS NOT NULL AND version_number <> 1")
    repairs = Repairs(revision)
    repairs.undo("validation_results", "version_number")
    repairs.forget()
