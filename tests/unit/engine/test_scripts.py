"""Whether a text holds one statement or several."""

from __future__ import annotations

import pytest

from tbcv.engine.scripts import is_script


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT 1;",
        "SELECT 1; -- done;\n /* and; out */ ",
        "SELECT 'a;b', \"c;d\", 'it''s; here'",
        r"SELECT E'it\'s; here'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END; $$",
        "DO $body$ BEGIN PERFORM $$a;b$$; END $body$;",
        "",
    ],
)
def test_one_statement(text: str) -> None:
    """Semicolons within texts, names, bodies and comments end nothing."""
    assert not is_script(text)


@pytest.mark.parametrize(
    "text", ["SELECT 1; SELECT 2", "CREATE TABLE a (b int);\nCREATE INDEX i ON a (b);\n", "DO $$ x; $$; SELECT ';'"]
)
def test_several_statements(text: str) -> None:
    """What stands behind a semicolon is another one."""
    assert is_script(text)
