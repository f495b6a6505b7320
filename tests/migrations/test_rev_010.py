"""Revision 010: documents that are JSON."""

from __future__ import annotations

import json
import logging

import pytest

from tests.migrations.chain import Chain, exact
from tests.migrations.dumps import DOCUMENTS
from tests.migrations.journey import Repair, repairs_of, there_and_back
from tests.migrations.rows_of_2_0 import audit, metric, recommendation, validation, workflow

pytestmark = pytest.mark.anyio

# JSON on both engines; a document that is the JSON null is still a document.
VALID = {
    "object": '{"b": 1, "a": [1, 2.5, true, null]}',
    "null": "null",
    "number": "12",
    "text": '"text"',
    "spaces": ' \n{ "a" :1 }\t',
    "digits": "[12345678901234567890, 0.1, 1e-7, 3.141592653589793238]",
    "escapes": r'"\u00e9 \ud83d\ude00 \" \\ \/ \b\f\n\r\t"',
    "raw": '"é 日本 😀 \x7f"',
    "colon": '{"a:b": ":c", "%s": "$1"}',
    "long": json.dumps(["x" * 1000] * 200),
}
# What is no JSON becomes the JSON string of itself.
INVALID = {
    "empty": "",
    "plain": "not json",
    "python": "{'a': None}",
    "quotes": 'it\'s "quoted" \\ back',
    "nan": '{"confidence": NaN}',
    "infinity": "[Infinity, -Infinity]",
    "two": "{} {}",
    "comma": "[1,]",
    "cut": '{"a": "b',
    "control": '"a\nb"',
    "unicode": "naïve 日本 😀 \u2028",
    "deep": "[" * 20_000,
}
# JSON by its grammar, which json_valid judges by, and beyond what jsonb can hold.
ONLY_JSON = {
    "nul escape": r'{"a": "\u0000"}',
    "lone surrogate": r'["\ud83d"]',
    "second surrogate": r'"\ude00"',
    "huge number": "1e400000",
}


@pytest.fixture
async def documented(chain: Chain) -> Chain:
    """Return a database at 009 with documents of every kind in every column."""
    await chain.at("009")
    await chain.insert("validation_results", validation("v", status="pass"))
    for key, text in (VALID | INVALID | ONLY_JSON | {"none": None}).items():
        rows = {
            "workflows": workflow(key, state="failed"),
            "validation_results": validation(key, status="pass"),
            "recommendations": recommendation(key, "v", status="applied"),
            "audit_logs": audit(key),
            "metrics": metric(key),
        }
        for table, row in rows.items():
            await chain.insert(table, row | dict.fromkeys(DOCUMENTS[table], text))
    return chain


def invalid(chain: Chain) -> dict[str, str]:
    """Return what an engine does not take for JSON."""
    return INVALID if chain.sqlite else INVALID | ONLY_JSON


async def test_documents_stay_and_other_text_becomes_a_string(documented: Chain) -> None:
    """A document means what it meant before; what was none is the JSON string of the text it was."""
    await documented.up("010")
    found = await documented.everything()
    for table, columns in DOCUMENTS.items():
        for column in columns:
            for key, text in VALID.items():
                assert json.loads(found[table][key][column]) == json.loads(text)
            for key, text in invalid(documented).items():
                assert json.loads(found[table][key][column]) == text
            assert found[table]["none"][column] is None


async def test_sqlite_documents_keep_their_spelling(sqlite_chain: Chain) -> None:
    """On SQLite a valid document stays the very text that it is."""
    await sqlite_chain.at("009")
    await sqlite_chain.insert("metrics", *(metric(key, metadata=text) for key, text in (VALID | ONLY_JSON).items()))
    before = await sqlite_chain.everything()
    await sqlite_chain.up("010")
    assert exact(await sqlite_chain.everything()) == exact(before)


async def test_every_string_made_is_recorded_and_counted(documented: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """Each text that was no JSON is in a record as it was, and a line in the log counts them per column."""
    with caplog.at_level(logging.WARNING, logger="tbcv.migrate.repairs"):
        await documented.up("010")
    wrong = invalid(documented)
    columns = [(table, column) for table, names in DOCUMENTS.items() for column in names]
    repairs = await repairs_of(documented, "010")
    assert {(*repair[:4], repair.before) for repair in repairs} == {
        ("repaired", table, column, key, text) for table, column in columns for key, text in wrong.items()
    }
    assert all(json.loads(repair.after) == repair.before for repair in repairs)
    assert [record.getMessage() for record in caplog.records] == [
        f"revision 010: repaired {table}.{column} in {len(wrong)} rows: it was not valid JSON"
        for table, column in columns
    ]


async def test_sqlite_gets_every_text_back(sqlite_chain: Chain) -> None:
    """On SQLite the way back gives every text letter for letter, and what was no text as it was."""
    await sqlite_chain.at("009")
    texts: dict[str, object] = {**VALID, **INVALID, **ONLY_JSON}
    texts |= {
        "nul": "a\x00b",
        "document before nul": "{}\x00",
        "quoted before nul": '"a\x00b"',
        "blob": b"\x00\xff",
        "document in a blob": b'{"a": 1}',
    }
    for key, text in texts.items():
        await sqlite_chain.insert("metrics", metric(key, metadata=text))
        await sqlite_chain.insert("audit_logs", audit(key, before_state=text, metadata=text))
    above = await there_and_back(sqlite_chain, "010")
    for rows in (above["metrics"], above["audit_logs"]):
        for row in rows.values():
            json.loads(row["metadata"])


async def test_postgresql_gets_every_other_text_back(documented: Chain) -> None:
    """On PostgreSQL the way back restores what was no JSON, and spells documents in its own way."""
    before = await documented.everything()
    await there_and_back(documented, "010", restored=documented.sqlite)
    if documented.sqlite:
        return
    after = await documented.everything()
    for table, rows in before.items():
        assert after[table].keys() == rows.keys()
        for key, row in rows.items():
            for column, value in row.items():
                found = after[table][key][column]
                if key in VALID and column in DOCUMENTS.get(table, ()):
                    assert json.loads(found) == json.loads(value)
                else:
                    assert repr(found) == repr(value), (table, key, column)


async def test_second_upgrade_gives_the_same(documented: Chain) -> None:
    """The way down and up again leads to the same documents and the same records."""
    await documented.up("010")
    first, repairs = await documented.everything(), await repairs_of(documented, "010")
    await documented.down("009")
    await documented.up("010")
    second = await documented.everything()
    assert await repairs_of(documented, "010") == repairs
    del first["audit_logs"], second["audit_logs"]
    assert exact(second) == exact(first)


async def test_document_changed_since_is_not_clobbered(documented: Chain) -> None:
    """A document that somebody has written since the repair stays when the old texts are put back."""
    await documented.up("010")
    await documented.execute("""UPDATE metrics SET metadata = '{"new": 1}' WHERE id = 'plain'""")
    await documented.down("009")
    texts = await documented.column("metrics", "metadata")
    assert (texts["plain"], texts["python"]) == ('{"new": 1}', "{'a': None}")


async def test_records_of_earlier_repairs_become_documents(chain: Chain) -> None:
    """The audit records of the revisions before are documents from here on, and still undo their repairs."""
    await chain.at("005")
    await chain.insert("validation_results", validation("v", status="COMPLETED"))
    await chain.insert("audit_logs", audit("dirt", metadata="no json", before_state="{", actor="migration 006"))
    before = await chain.everything()
    await chain.up("010")
    assert await repairs_of_documents(chain) == {
        Repair("repaired", "validation_results", "status", "v", "COMPLETED", "PASS")
    }
    await chain.down("005")
    assert exact(await chain.everything()) == exact(before)


async def repairs_of_documents(chain: Chain) -> set[Repair]:
    """Return the repairs of 006, without the row of somebody who calls himself a migration."""
    await chain.execute("UPDATE audit_logs SET actor = 'mallory' WHERE id = 'dirt'")
    found = await repairs_of(chain, "006")
    await chain.execute("UPDATE audit_logs SET actor = 'migration 006' WHERE id = 'dirt'")
    return found
