"""What a revision compares columns with is read from its text, whichever way it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.gate.seeding.named import ANYWHERE, values_named
from tests.gate import corpus

DOCUMENTS = {'{"page": 7411, "kept": true}', '{"page": 7412, "kept": true}'}
CASES = {
    "op.execute(\"DELETE FROM orders WHERE status = 'void'\")": {"status": {"void"}},
    "op.execute(\"DELETE FROM orders o WHERE lower(o.status) IN ('a', 'b')\")": {"status": {"a", "b"}},
    "op.execute(\"UPDATE orders SET status = 'new' WHERE note LIKE '%spam%'\")": {"note": {"spam"}},
    "op.execute(\"UPDATE orders SET note = CASE WHEN status = 'a' THEN 'x' ELSE 'y' END\")": {"status": {"a"}},
    "op.execute(\"UPDATE orders SET note = CASE status WHEN 'a' THEN 'x' WHEN 'b' THEN 'y' END\")": {
        "status": {"a", "b"}
    },
    'op.execute("DELETE FROM orders WHERE quantity < 0")': {"quantity": {"-1", "0", "1"}},
    "op.execute(\"DELETE FROM orders WHERE placed_at >= '2025-01-01'\")": {
        "placed_at": {"2024-12-31", "2025-01-01", "2025-01-02"}
    },
    'op.get_bind().execute(sa.text("DELETE FROM orders WHERE status = :one"), {"one": "void"})': {
        "status": {"void"},
        "one": {"void"},
    },
    'for one in ("a", "b"):\n    op.execute(sa.text("DELETE FROM orders WHERE status = :one").bindparams(one=one))': {
        "status": {"a", "b"}
    },
    "one = 'a'\nop.execute(f\"DELETE FROM orders WHERE status = '{one}'\")": {"status": {"a"}},
    'op.execute(orders.delete().where(orders.c.status == "void"))': {"status": {"void"}},
    'op.execute(orders.delete().where(orders.c["status"].in_(["a", "b"])))': {"status": {"a", "b"}},
    "op.execute(\"SELECT bury('void')\")": {ANYWHERE: {"void"}},
    "op.execute(\"INSERT INTO tags (id, name) VALUES (1, 'a') ON CONFLICT (name) DO NOTHING\")": {},
    "op.execute(\"INSERT INTO tags SELECT 1, 'a' WHERE NOT EXISTS (SELECT 1 FROM tags WHERE name = 'a')\")": {},
    "op.execute(\"UPDATE photos SET meta = json_remove(meta, '$.page')\")": {"meta": DOCUMENTS},
    "op.execute(\"UPDATE photos SET meta = meta::jsonb - 'page' WHERE id > 7\")": {
        "meta": DOCUMENTS,
        "id": {"6", "7", "8"},
    },
    'op.bulk_insert(tags, [{"name": "a"}])': {},
    "op.execute(\"ALTER TABLE orders ALTER status SET DEFAULT 'new'\")": {},
    "op.execute(1 +)": {},
}


@pytest.mark.parametrize("upgrade", CASES)
def test_values_named(upgrade: str, tmp_path: Path) -> None:
    """A condition of the upgrade names values; what it writes, and what the downgrade says, does not."""
    file = tmp_path / "one.py"
    file.write_text(corpus.revision("one", upgrade, "op.execute(\"DELETE FROM tags WHERE name = 'b'\")"))
    found = {column: {one.text for one in values} for column, values in values_named(file).items()}
    assert found == CASES[upgrade]


def test_values_that_are_looked_for(tmp_path: Path) -> None:
    """What is only looked for may be about to be inserted, and is told from what is to be changed."""
    file = tmp_path / "one.py"
    file.write_text(
        corpus.revision(
            "one",
            "op.get_bind().scalar(sa.text(\"SELECT 1 FROM tags WHERE name = 'a'\"))\n"
            "op.execute(\"DELETE FROM tags WHERE name = 'b'\")",
        )
    )
    assert {one.text: one.changing for one in values_named(file)["name"]} == {"a": False, "b": True}
