"""`tbcv migrate history` and `heads`: the revisions, and where the database is among them."""

from __future__ import annotations

from pathlib import Path

from tests.journeys.command_line import CHAIN, HEAD, CommandLine, upgrade, write_environment, write_revision


def test_where_the_database_is(tbcv: CommandLine) -> None:
    """The list runs from head to base, marks one revision, and says of each whether it is applied."""
    assert tbcv.url is not None
    upgrade(tbcv.url, "005")
    said = tbcv("history")
    assert said.err == ""
    assert "\x1b" not in said.out
    lines = said.out.splitlines()[1:]
    assert [line.split()[0] for line in lines if line.startswith("→")] == ["→"]
    (here,) = (line.split() for line in lines if line.startswith("→"))
    assert here[:4] == ["→", "005", "004", "applied"]
    words = [line.removeprefix("→").split() for line in lines]
    assert [one[0] for one in words] == list(reversed(CHAIN))
    assert [one[2] for one in words] == ["pending"] * 6 + ["applied"] * 5
    document = tbcv.document("history")
    assert set(document) == {"schema", "kind", "current", "state", "revisions"}
    assert (document["kind"], document["state"], document["current"]) == ("history", "behind", ["005"])
    first = document["revisions"][-1]
    assert set(first) == {"revision", "parents", "depends_on", "labels", "message", "file", "applied"}
    assert first == {
        "revision": "001",
        "parents": [],
        "depends_on": [],
        "labels": [],
        "message": "The schema of TBCV 2.0.",
        "file": "001_baseline.py",
        "applied": True,
    }
    verbose = tbcv("history", "--verbose").out
    assert "001_baseline.py" in verbose
    assert "unnamed constraints included" in " ".join(verbose.split())


def test_ranges(on_sqlite: CommandLine) -> None:
    """A range includes both ends; either may be left out, partial, `base`, `head` or `current`."""
    upgrade(str(on_sqlite.url), "007")

    def listed(limits: str) -> list[str]:
        return [one["revision"] for one in on_sqlite.document("history", "-r", limits)["revisions"]]

    assert listed("base:head") == list(reversed(CHAIN))
    assert listed("003:005") == ["005", "004", "003"]
    assert listed("009:") == ["011", "010", "009"]
    assert listed(":002") == ["002", "001"]
    assert listed("current:head") == ["011", "010", "009", "008", "007"]
    said = on_sqlite("history", "--range", "006:current").out
    assert [line.removeprefix("→").split()[0] for line in said.splitlines()[1:]] == ["007", "006"]
    assert "FROM:TO" in on_sqlite.refused("history", "-r", "005", code=2)
    assert "FROM:TO" in on_sqlite.refused("history", "-r", "001:003:005", code=2)
    assert "zzz" in on_sqlite.refused("history", "-r", "zzz:head")
    assert "005" in on_sqlite.refused("history", "-r", "007:005")


def test_without_a_database(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """The revisions are listed, without marks, where the database cannot be asked; a line on stderr says why."""
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database" * 400)
    tbcv = on_sqlite.at(f"sqlite:///{broken}")
    said = tbcv("history")
    assert "applied" not in said.out
    assert len(said.out.splitlines()) == len(CHAIN) + 1
    (line,) = said.err.splitlines()
    assert "not a database" in line
    document = tbcv.document("history")
    assert (document["current"], document["state"]) == (None, None)
    assert {one["applied"] for one in document["revisions"]} == {None}


def test_heads(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """One head is well; several are listed and are a finding. Neither needs a database."""
    tbcv = on_sqlite.at("sqlite:////no/such/place/at.db")
    said = tbcv("heads")
    assert [line.split()[0] for line in said.out.splitlines()[1:]] == [HEAD]
    document = tbcv.document("heads")
    assert (document["kind"], [one["revision"] for one in document["revisions"]]) == ("heads", [HEAD])
    ini = write_environment(tmp_path / "other")
    for name, parent in (("a1", None), ("b1", "a1"), ("b2", "a1")):
        write_revision(tmp_path / "other/script/versions", name, parent)
    assert [one["revision"] for one in tbcv.document("heads", "-c", str(ini), code=1)["revisions"]] == ["b1", "b2"]
    (tmp_path / "other/script/versions/b1_by_hand.py").unlink()
    (tmp_path / "other/script/versions/b2_by_hand.py").unlink()
    (tmp_path / "other/script/versions/a1_by_hand.py").unlink()
    assert tbcv.document("heads", "-c", str(ini))["revisions"] == []
