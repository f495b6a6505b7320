"""The tables in which Alembic and tbcv keep their books: they are no part of any schema, and nothing compares them."""

from __future__ import annotations

from typing import Final

VERSION_TABLE: Final = "alembic_version"
JOURNAL_TABLE: Final = "tbcv_journal"
"""The journal of another project's database, where one was asked for (`tbcv.migrate.journal`)."""

BOOKKEEPING: Final = frozenset({VERSION_TABLE, JOURNAL_TABLE})

BOOKKEEPING_NAMES: Final = ", ".join(f"'{one}{key}'" for one in sorted(BOOKKEEPING) for key in ("", "_pkc"))
"""These tables and their primary keys, as they stand in a list of SQL."""
