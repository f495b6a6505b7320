"""Which objects of a database are the application's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.migrate.history import History, Revision
from tbcv.migrate.managed import Managed

REVISION = '''
"""The first."""
revision = "001"
down_revision = None
op.create_table("orders", sa.Column("id", sa.Integer()))
op.rename_table("older", "newer")
sa.Enum("a", "b", name="mood")
sa.Sequence("numbers")
op.execute("CREATE UNLOGGED TABLE IF NOT EXISTS archive.rows (id int)")
op.execute('CREATE TABLE "Two Words" (id int)')
op.execute(f"CREATE OR REPLACE VIEW recent AS SELECT * FROM orders WHERE id > {1}")
op.execute("CREATE FUNCTION doubled(x int) RETURNS int LANGUAGE sql AS 'SELECT x + x'")
op.execute("ALTER TABLE orders RENAME TO purchases")
op.create_index("unrelated", "orders", ["id"])
'''


@pytest.fixture
def managed(tmp_path: Path) -> Managed:
    """Return what the revision above and a model name."""
    path = tmp_path / "001.py"
    path.write_text(REVISION, encoding="utf-8")
    revision = Revision("001", (), (), (), "The first.", "The first.", path)
    return Managed(History({"001": revision}), {"models"})


@pytest.mark.parametrize(
    "subject",
    [
        "table models",
        "table orders",
        "table public.orders",
        "table older",
        "table newer",
        "table purchases",
        "type mood",
        "sequence numbers",
        "sequence orders_id_seq",
        "table archive.rows",
        'table "Two Words"',
        'table other."Two Words"',
        'table "two words"',
        "view recent",
        "function doubled(integer)",
    ],
)
def test_what_is_named_is_managed(managed: Managed, subject: str) -> None:
    """What a model or a revision names is the application's, however it is spelled."""
    assert managed(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "table other",
        "table unrelated",
        "table orders_copy",
        'table "orders.copy"',
        "sequence other_id_seq",
        "function other(orders)",
        "function halved(integer)",
        'table "Two"',
        "event trigger watch",
    ],
)
def test_what_nobody_names_is_not_managed(managed: Managed, subject: str) -> None:
    """What neither a model nor a revision names is somebody else's."""
    assert not managed(subject)
