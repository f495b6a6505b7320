"""`tbcv migrate downgrade`: what is lost is said first, and nobody loses anything unasked."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
from pathlib import Path

from tests.journeys.command_line import (
    HEAD,
    CommandLine,
    Done,
    contents,
    execute,
    fetch,
    load_legacy,
    recorded,
    upgrade,
    write_environment,
    write_revision,
)
from tests.migrations.chain import TABLES


def at_a_terminal(tbcv: CommandLine, answer: bytes | None, *arguments: str) -> Done:
    """Run a command on a pseudo-terminal and answer its question, or interrupt it; stderr is what the screen showed."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        tbcv.command(*arguments),
        cwd=tbcv.directory,
        env=tbcv.variables(),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    screen = b""
    while b"Go on?" not in screen:
        screen += os.read(controller, 4096)
    if answer is not None:
        os.write(controller, answer)
    while answer is None and not select.select([controller], [], [], 1)[0]:
        # Python hears nothing of a signal that comes just before it begins to read: a person presses Ctrl-C again.
        process.send_signal(signal.SIGINT)
    try:
        while more := os.read(controller, 4096):
            screen += more
    except OSError:  # how Linux tells that the other end was closed
        pass
    assert process.stdout is not None
    with process.stdout as stream:
        out = stream.read()
    os.close(controller)
    return Done(process.wait(60), out.decode(), screen.decode())


def test_the_way_down(tbcv: CommandLine, tmp_path: Path) -> None:
    """What is lost is counted in the real rows and said on stderr before it goes; --yes asks nobody."""
    assert tbcv.url is not None
    load_legacy(tbcv.url, tmp_path)
    upgrade(tbcv.url)
    before = contents(tbcv.url)
    rows = {table: fetch(tbcv.url, f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in TABLES}
    assert any(rows.values())
    refusal = tbcv("downgrade", "-r", "base", code=3)
    assert refusal.out == ""
    listed = [line.split() for line in refusal.err.splitlines()]
    assert {line[1]: int(line[-1]) for line in listed if line[0] == "table"} == rows
    assert refusal.err.splitlines()[-1].startswith("tbcv: the downgrade to base needs a confirmation")
    assert contents(tbcv.url) == before
    for target in (HEAD, "head"):
        assert "nothing to do" in tbcv("downgrade", "-r", target, "--yes").out
    document = tbcv.document("downgrade", "-r", "-2", "--yes")
    assert set(document) == {"schema", "kind", "database", "before", "after", "applied", "backup", "losses"}
    assert (document["kind"], document["before"], document["after"]) == ("downgrade", [HEAD], ["009"])
    assert [step["revision"] for step in document["applied"]] == [HEAD, "010"]
    # What the upgrade repaired is put back, and its notes of that in audit_logs are deleted.
    assert {(one["revision"], one["how"]) for one in document["losses"]} == {("010", "changed"), ("010", "deleted")}
    for target in ("010", "-10", "zzz"):
        assert target in tbcv.refused("downgrade", "-r", target, "--yes")
    assert "empty" in tbcv.refused("downgrade", "-r", "", "--yes", code=2)
    assert recorded(tbcv.url) == ["009"]
    gone = tbcv.document("downgrade", "-r", "base", "-y")
    dropped = [one for one in gone["losses"] if one["how"] == "dropped"]
    assert {one["table"]: one["rows"] for one in dropped} | {"audit_logs": 0} == rows | {"audit_logs": 0}
    assert {one["column"] for one in dropped} == {None}
    assert recorded(tbcv.url) == []


def test_the_question(tbcv: CommandLine, tmp_path: Path) -> None:
    """At a terminal the losses are shown and a question asked: no leaves everything, yes does it."""
    assert tbcv.url is not None
    versions = tmp_path / "other/script/versions"
    ini = str(write_environment(tmp_path / "other"))
    write_revision(versions, "a1", None, 'op.execute("CREATE TABLE kept (id integer)")')
    write_revision(
        versions,
        "a2",
        "a1",
        'op.execute("ALTER TABLE kept ADD COLUMN note text")\n    op.execute("CREATE TABLE extra (id integer)")',
        'op.execute("DROP TABLE extra")\n    op.execute("ALTER TABLE kept DROP COLUMN note")',
    )
    words = ("-c", ini, "downgrade", "-r", "-1")
    tbcv("-c", ini, "upgrade")
    execute(tbcv.url, "INSERT INTO kept VALUES (1, 'x'), (2, NULL), (3, 'y'); INSERT INTO extra VALUES (1)")
    no = at_a_terminal(tbcv, b"n\n", *words)
    assert (no.code, no.out) == (3, "")
    plain = no.err.replace("\x1b[0m", "").replace("\x1b[31m", "")
    assert [line.split() for line in plain.splitlines() if "kept" in line] == [["column", "kept.note", "a2", "2"]]
    assert [line.split() for line in plain.splitlines() if "extra" in line] == [["table", "extra", "a2", "1"]]
    assert no.err.splitlines()[-1] == "tbcv: the downgrade to -1 was declined; nothing was changed"
    assert recorded(tbcv.url) == ["a2"]
    interrupted = at_a_terminal(tbcv, None, *words)
    assert interrupted.code == 130
    assert interrupted.err.rstrip().endswith("tbcv: interrupted")
    assert recorded(tbcv.url) == ["a2"]
    yes = at_a_terminal(tbcv, b"y\n", *words)
    assert yes.code == 0, yes
    assert yes.out.startswith("downgraded a2 → a1: 1 revision in ")
    assert recorded(tbcv.url) == ["a1"]
