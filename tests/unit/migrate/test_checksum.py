"""The checksum of a revision file sees what the file means and nothing else."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator

import pytest

from tbcv.migrate.checksum import checksum

SOURCE = '''\
"""The docstring.

Revision ID: 002
"""

import sqlalchemy as sa
from alembic import op

revision = "002"
down_revision: str | None = "001"
branch_labels = depends_on = None
SIZES = {"a": 1, "b": 2.5, **{}, "c": -3j}
TEXT = "x" "y" f"{revision!r:>{SIZES['a']}} and {{}}" + b"z".decode()


class Kind(str):
    """A docstring."""

    one = "é \\u1c89 \\ud800"


def upgrade() -> None:
    """Another docstring."""
    with op.batch_alter_table("orders") as batch:  # a comment
        batch.add_column(sa.Column("b", sa.String(10), nullable=not True))
    for value in [one * 2 for one in range(3) if one > 0]:
        op.execute("UPDATE orders SET b = 'x  y'" + str(value))
    try:
        assert SIZES["b"] <= 2 or (lambda *a, k=1, **b: (yield)), "no"
    except (ValueError, TypeError) as error:
        raise RuntimeError(f"failed: {error=}") from error
    match TEXT:
        case "x" | [_, *rest] if rest:
            pass


async def downgrade() -> None:
    op.drop_column("orders", "b")
'''

# The same on every version of Python; a change here makes every ledger invalid.
RECORDED = "73be67987a3f3cbb75275d33f6288f63"

SAME = {
    "another comment": SOURCE.replace("# a comment", "# quite another one"),
    "no comment": SOURCE.replace("  # a comment", ""),
    "another docstring of the module": SOURCE.replace("The docstring.", "What it does."),
    "another docstring of a class": SOURCE.replace("A docstring.", "What it is."),
    "no docstring of a function": SOURCE.replace('    """Another docstring."""\n', ""),
    "line ends of Windows": SOURCE.replace("\n", "\r\n"),
    "line ends of old": SOURCE.replace("\n", "\r"),
    "empty lines": SOURCE.replace("\n\n", "\n\n\n\n"),
    "spaces at the ends": SOURCE.replace(",\n", ",   \n").replace("pass\n", "pass  \n"),
    "another indentation": SOURCE.replace("    ", "  "),
    "a byte order mark": "\ufeff" + SOURCE,
    "other quotes": SOURCE.replace('"orders"', "'orders'"),
    "parentheses": SOURCE.replace("str(value)", "(str(value))"),
    "no end of the last line": SOURCE.rstrip("\n"),
    "a line broken in two": SOURCE.replace('"b", sa', '"b",\n            sa'),
}


def test_checksum_is_the_recorded_one() -> None:
    """The checksum of a file is the same on every version of Python, since a ledger must hold on all."""
    assert checksum(SOURCE) == RECORDED


@pytest.mark.parametrize("name", SAME)
def test_meaningless_change_is_not_seen(name: str) -> None:
    """Comments, docstrings, spaces, quotes and line ends do not count."""
    assert SAME[name] != SOURCE
    assert checksum(SAME[name].encode()) == checksum(SOURCE)


def test_every_other_change_is_seen() -> None:
    """Whichever token is changed, dropped or doubled, the checksum changes as soon as the syntax tree does."""
    plain = ast.dump(without_docstrings(ast.parse(SOURCE)))
    tried = 0
    for changed in mutations(SOURCE):
        try:
            tree = ast.parse(changed)
        except (SyntaxError, ValueError):
            continue
        if ast.dump(without_docstrings(tree)) != plain:
            tried += 1
            assert checksum(changed) != checksum(SOURCE), changed
    assert tried > 300


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = None", "x = ..."),
        ("x = ''", "x = None"),
        ("x = 'a b'", "x = 'a  b'"),
        ("x = 'a\\nb'", "x = 'a\\\\nb'"),
        ("x = f'{a}b'", "x = f'{a}' + 'b'"),
        ("x = f'{a!r}'", "x = f'{a!s}'"),
        ("x = f'{a:1}'", "x = f'{a:2}'"),
        ("x = f'{{a}}'", "x = f'{a}'"),
        ("x = (1, 2)", "x = [1, 2]"),
        ("x = ()", "x = []"),
        ("return_ = 1", "return_: int = 1"),
        ("def f(a): pass", "def f(a, /): pass"),
        ("def f(a): pass", "def f(*, a): pass"),
        ("def f(): return", "def f(): return None"),
        ("from . import a", "from .. import a"),
        ("def f(): pass", "async def f(): pass"),
        ("if a:\n  b\nc", "if a:\n  b\n  c"),
        ("'docstring'", "x = 'docstring'"),
        ("'docstring'\n'other'", "'docstring'"),
        ("{**a, 'b': 1}", "{'b': 1, **a}"),
    ],
)
def test_small_difference_is_seen(one: str, other: str) -> None:
    """Two programs that mean different things have different checksums."""
    assert checksum(one) != checksum(other)


def test_warnings_are_not_errors() -> None:
    """A file of which the parser warns has a checksum, also where warnings are errors."""
    assert checksum("x = '\\d'") == checksum("x = '\\\\d'")


def mutations(source: str) -> Iterator[str]:
    """Give the source with one of its tokens changed, dropped or doubled."""
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (row, start), (last, end) = token.start, token.end
        if row != last or not token.string.strip() or token.type == tokenize.COMMENT:
            continue
        for new in replacements(token):
            changed = lines[row - 1][:start] + new + lines[row - 1][end:]
            yield "".join([*lines[: row - 1], changed, *lines[row:]])


def replacements(token: tokenize.TokenInfo) -> Iterator[str]:
    """Give what may stand in the place of a token."""
    yield ""
    yield f"{token.string} {token.string}"
    if token.type == tokenize.NAME:
        yield {"True": "False", "None": "True", "or": "and", "not": "-"}.get(token.string, f"{token.string}_")
        yield from ("None", "is", "await", "pass")
    elif token.type == tokenize.NUMBER:
        yield f"1{token.string}"
    elif token.type == tokenize.STRING:
        yield f"{token.string[:-1]} {token.string[-1]}"
        yield f"r{token.string}"
    elif token.type == tokenize.OP:
        yield from ("+", "-", "*", "/", ",", "<", "<=", "==", "|", ".", "(", ")", "**", ":=")


def without_docstrings(tree: ast.Module) -> ast.Module:
    """Take the docstrings away."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
    return tree
