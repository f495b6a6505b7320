"""What a revision reads out of documents is read from its text, so that there are documents to take apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.gate.seeding.documents import ANY, Document, documents_read
from tests.gate import corpus

CASES: dict[str, dict[str, Document]] = {
    "op.execute(\"UPDATE photos SET page = (meta->>'page')::integer\")": {"meta": Document({"page": "integer"})},
    "op.execute(\"UPDATE photos SET page = meta ->> '$.page', size = meta::jsonb -> 'size'\")": {
        "meta": Document({"page": "", "size": ""})
    },
    "op.execute(\"UPDATE photos SET page = CAST(json_extract(meta, '$.page') AS INTEGER)\")": {
        "meta": Document({"page": "integer"})
    },
    "op.execute(\"INSERT INTO tags SELECT e ->> 'name' FROM photos p, jsonb_array_elements(p.meta) e\")": {
        "e": Document({"name": ""}),
        "meta": Document({"name": ""}, listed=True),
    },
    'op.execute("INSERT INTO tags SELECT r.id, r.name FROM photos, '
    'jsonb_to_recordset(meta) AS r(id integer, name varchar(9))")': {
        ANY: Document({"id": "integer", "name": "varchar"}),
        "meta": Document({"id": "integer", "name": "varchar"}, listed=True),
    },
    "op.execute(\"SELECT json_extract(value, '$.name') FROM photos, json_each(photos.meta)\")": {
        "value": Document({"name": ""}),
        "meta": Document({"name": ""}, listed=True),
    },
    'import json\nfor one in op.get_bind().execute("SELECT 1"):\n    json.loads(one["meta"]).get("page")': {
        ANY: Document({"meta": "", "page": ""})
    },
    'values = {"a": 1}\nvalues["a"]': {},
    "op.execute(\"DELETE FROM orders WHERE status = 'void'\")": {},
    "op.execute(1 +)": {},
}


@pytest.mark.parametrize("upgrade", CASES)
def test_documents_read(upgrade: str, tmp_path: Path) -> None:
    """The upgrade tells which entries there are, and whether several are in a list; the downgrade tells nothing."""
    file = tmp_path / "one.py"
    file.write_text(corpus.revision("one", upgrade, "op.execute(\"UPDATE photos SET meta = meta->'old'\")"))
    assert documents_read(file) == CASES[upgrade]
