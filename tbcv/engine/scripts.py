"""Texts of several statements, as revisions written for psycopg2 have them; asyncpg prepares one at a time."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext

_TOKENS = re.compile(
    r"""
    --[^\n]* | /\*.*?\*/ | \s+ | (?P<end>;) |
    [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" |
    (?P<quote>\$(?:[A-Za-z_]\w*)?\$).*?(?P=quote) | [\w$]+ | .
    """,
    re.VERBOSE | re.DOTALL,
)


def is_script(statement: str) -> bool:
    """Tell whether a text holds more than one statement."""
    if ";" not in statement:
        return False
    ended = False
    for token in _TOKENS.finditer(statement):
        text = token[0]
        if token["end"]:
            ended = True
        elif ended and not (text.isspace() or text.startswith(("--", "/*"))):
            return True
    return False


def execute_script(_cursor: DBAPICursor, statement: str, parameters: object, context: ExecutionContext | None) -> bool:
    """Execute a script on asyncpg, in the transaction of its connection.

    Args:
        statement: What is to be executed.
        parameters: A script has none.
        context: Of the execution.

    Returns:
        Whether it was one; else nothing was done.
    """
    if context is None or context.dialect.driver != "asyncpg" or parameters or not is_script(statement):
        return False
    connection: Any = context.root_connection.connection.dbapi_connection
    # The driver begins its transaction with the first statement that it prepares.
    first = connection.cursor()
    first.execute("SELECT 1")
    first.close()
    try:
        connection.run_async(lambda raw: raw.execute(statement))
    except asyncpg.PostgresError as error:
        refused: Any = context.dialect.loaded_dbapi.Error(str(error))
        refused.sqlstate = refused.pgcode = error.sqlstate
        raise refused from error
    return True


def with_scripts(engine: Engine) -> None:
    """Let an engine execute scripts as well."""
    event.listen(engine, "do_execute", execute_script)
