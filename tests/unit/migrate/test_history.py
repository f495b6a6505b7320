"""The revision graph: its order, the names that people give to places in it, and files that form none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.errors import (
    BrokenHistoryError,
    ConfigurationError,
    MultipleHeadsError,
    RefusedError,
    RevisionNotFoundError,
    TbcvError,
)
from tbcv.migrate.history import History, Revision, read_history
from tbcv.migrate.location import AlembicEnvironment


def revision(name: str, *parents: str, after: tuple[str, ...] = (), labels: tuple[str, ...] = ()) -> Revision:
    """Make a revision without a file."""
    return Revision(name, parents, after, labels, f"Do {name}.", f"Do {name}.", Path(f"{name}.py"))


def history_of(*revisions: Revision) -> History:
    """Make a history out of revisions."""
    return History({one.id: one for one in revisions})


LINE = history_of(*(revision(f"{n:04}", *([f"{n - 1:04}"] if n > 1 else [])) for n in range(1, 7)))
DIAMOND = history_of(
    revision("base1"),
    revision("left1", "base1", labels=("left",)),
    revision("left2", "left1"),
    revision("right1", "base1"),
    revision("joint", "left2", "right1"),
    revision("last1", "joint"),
)
FORK = history_of(revision("base1"), revision("abcd1", "base1"), revision("abcd2", "base1"))


def ids(revisions: tuple[Revision, ...]) -> list[str]:
    """Return the ids of revisions."""
    return [one.id for one in revisions]


def files(directory: Path, **texts: str) -> AlembicEnvironment:
    """Write revision files and return their environment."""
    for name, text in texts.items():
        (directory / f"{name}.py").write_text(text, encoding="utf-8")
    return AlembicEnvironment(directory / "alembic.ini", directory, (directory,))


@pytest.mark.parametrize(
    ("current", "target", "steps"),
    [
        ((), "head", ["0001", "0002", "0003", "0004", "0005", "0006"]),
        ((), "+1", ["0001"]),
        (("0004",), "head", ["0005", "0006"]),
        (("0004",), "heads", ["0005", "0006"]),
        (("0004",), "+2", ["0005", "0006"]),
        (("0004",), "0004+1", ["0005"]),
        (("0002",), "head-2", ["0003", "0004"]),
        (("0006",), "head", []),
        (("0004",), "0004", []),
        (("0004",), "0002+2", []),
        ((), "base", []),
    ],
)
def test_the_way_up(current: tuple[str, ...], target: str, steps: list[str]) -> None:
    """An upgrade goes from where the database is to its target, however that is spelled."""
    assert ids(LINE.pending(current, target)) == steps


@pytest.mark.parametrize(
    ("current", "target", "steps"),
    [
        (("0004",), "base", ["0004", "0003", "0002", "0001"]),
        (("0004",), "-1", ["0004"]),
        (("0004",), "0003", ["0004"]),
        (("0004",), "0004-2", ["0004", "0003"]),
        (("0006",), "head-1", ["0006"]),
        (("0004",), "0004", []),
        ((), "base", []),
    ],
)
def test_the_way_down(current: tuple[str, ...], target: str, steps: list[str]) -> None:
    """A downgrade reverts what lies above its target, newest first."""
    assert ids(LINE.reverted(current, target)) == steps


@pytest.mark.parametrize(
    ("current", "target", "error"),
    [
        (("0004",), "0003", RefusedError),
        (("0004",), "base", RefusedError),
        (("0004",), "0001+1", RefusedError),
        (("0004",), "+3", RevisionNotFoundError),
        (("0004",), "-1", RevisionNotFoundError),
        (("0004",), "zzzz", RevisionNotFoundError),
        (("0004",), "head+1", RevisionNotFoundError),
        (("0004",), "@", RevisionNotFoundError),
        (("0004",), "", ConfigurationError),
        (("0004",), "  ", ConfigurationError),
    ],
)
def test_no_way_up(current: tuple[str, ...], target: str, error: type[TbcvError]) -> None:
    """A target below, beyond or nowhere is refused with what was asked for and what to do."""
    with pytest.raises(error) as caught:
        LINE.pending(current, target)
    assert target.strip() in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("current", "target", "error"),
    [
        (("0004",), "0005", RefusedError),
        (("0004",), "head", RefusedError),
        (("0004",), "-5", RevisionNotFoundError),
        (("0004",), "+1", RevisionNotFoundError),
        (("0004",), "zzzz", RevisionNotFoundError),
        (("0004",), "", ConfigurationError),
        ((), "-1", RefusedError),
    ],
)
def test_no_way_down(current: tuple[str, ...], target: str, error: type[TbcvError]) -> None:
    """A downgrade goes down only, and no further than base."""
    with pytest.raises(error) as caught:
        LINE.reverted(current, target)
    assert target in caught.value.message


def test_partial_names() -> None:
    """The beginning of an id stands for a revision as long as it stands for one."""
    assert FORK.resolve("base") == ()
    assert DIAMOND.resolve("right") == ("right1",)
    assert DIAMOND.resolve("join") == ("joint",)
    with pytest.raises((RevisionNotFoundError, MultipleHeadsError)) as caught:
        FORK.resolve("abcd")
    assert "abcd1" in caught.value.message
    assert "abcd2" in caught.value.message


@pytest.mark.parametrize("name", ["+1", "-1", "zzzz", "head+1", "@"])
def test_names_that_stand_for_nothing(name: str) -> None:
    """A relative name needs a place to count from, and an unknown one is named in the refusal."""
    with pytest.raises(RevisionNotFoundError) as caught:
        LINE.resolve(name)
    assert name in caught.value.message


def test_heads() -> None:
    """An empty history ends at base, a line in its last revision, a fork in two, which `head` does not choose from."""
    assert (History().heads, History().head, History().ordered()) == ((), "base", ())
    assert (LINE.heads, LINE.head) == (("0006",), "0006")
    assert (DIAMOND.heads, FORK.heads) == (("last1",), ("abcd1", "abcd2"))
    with pytest.raises(MultipleHeadsError) as caught:
        _ = FORK.head
    assert "abcd1 (abcd1.py), abcd2 (abcd2.py)" in caught.value.message
    with pytest.raises(MultipleHeadsError):
        FORK.resolve("head")
    assert FORK.resolve("heads") == ("abcd1", "abcd2")


def test_order_of_a_diamond() -> None:
    """Parents come before children on every branch, and a label stands for its branch."""
    order = ids(DIAMOND.ordered())
    assert sorted(order) == sorted(DIAMOND.revisions)
    for one in DIAMOND.revisions.values():
        assert all(order.index(parent) < order.index(one.id) for parent in one.parents)
    assert ids(DIAMOND.pending(("left2", "right1"))) == ["joint", "last1"]
    assert ids(DIAMOND.pending(("right1",), "left2")) == ["left1", "left2"]
    assert ids(DIAMOND.reverted(("joint",), "left2")) == ["joint"]
    assert DIAMOND.resolve("left@head") == ("last1",)


def test_ancestors() -> None:
    """Ancestors reach through merges and dependencies, include where they start, and pass over the unknown."""
    assert DIAMOND.ancestors(["joint"]) == {"joint", "left2", "left1", "right1", "base1"}
    assert LINE.ancestors(["zzzz"]) == frozenset()
    needing = history_of(revision("base1"), revision("other"), revision("more1", "base1", after=("other",)))
    assert needing.ancestors(["more1"]) == {"more1", "base1", "other"}


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        (":", ["0006", "0005", "0004", "0003", "0002", "0001"]),
        ("base:head", ["0006", "0005", "0004", "0003", "0002", "0001"]),
        ("0002:0004", ["0004", "0003", "0002"]),
        ("0005:", ["0006", "0005"]),
        (":0001", ["0001"]),
        ("current:head", ["0006", "0005", "0004"]),
        ("0003:current", ["0004", "0003"]),
        ("current:current", ["0004"]),
        ("0002:+1", ["0003", "0002"]),
        ("-1:", ["0006", "0005"]),
        ("base:base", []),
    ],
)
def test_ranges(limits: str, found: list[str]) -> None:
    """A range holds both of its ends, children first."""
    assert ids(LINE.between(limits, ("0004",))) == found


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ("0003", ConfigurationError),
        ("1:2:3", ConfigurationError),
        ("zzzz:head", RevisionNotFoundError),
        ("0004:0002", RevisionNotFoundError),
        ("left2:right1", TbcvError),
    ],
)
def test_no_ranges(limits: str, error: type[TbcvError]) -> None:
    """What is no range of the history is refused as one of tbcv's errors."""
    with pytest.raises(error):
        DIAMOND.between(limits) if "left" in limits else LINE.between(limits)


def test_files_of_every_spelling(tmp_path: Path) -> None:
    """Annotated assignments, tuples and lists are read as Alembic would, without executing the file."""
    environment = files(
        tmp_path,
        one='"""First.\n\nMore.\n"""\nrevision: str = "a1"\ndown_revision: str | None = None\nraise SystemExit\n',
        two='revision = "b1"\ndown_revision = "a1"\nbranch_labels = ("x", "y")\n',
        three='"""Third."""\nrevision = "b2"\ndown_revision = ["a1"]\ndepends_on = "b1"\n',
        four='revision = "c1"\ndown_revision = ("b1", "b2")\ndepends_on = None\n',
        __init__="revision = 'not looked at'",
    )
    history = read_history(environment)
    assert history.head == "c1"
    first, second = history.revisions["a1"], history.revisions["b1"]
    assert (first.message, first.doc, first.parents) == ("First.", "First.\n\nMore.", ())
    assert (second.labels, second.message, second.parents) == (("x", "y"), "", ("a1",))
    assert history.revisions["b2"].dependencies == ("b1",)
    assert history.revisions["c1"].parents == ("b1", "b2")
    assert history.revisions["c1"].path == tmp_path / "four.py"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"one": "revision = 'a1'\ndef ("}, "one.py line 2"),
        ({"one": "revision = 'a1'", "two": "revision = 'a1'"}, "stands twice: in one.py and in two.py"),
        ({"one": "revision = 'a1'\ndown_revision = 'a0'"}, "one.py follows revision a0"),
        ({"one": "revision = 'a1'\ndown_revision = 'a1'"}, "a1"),
        (
            {"one": "revision = 'a1'\ndown_revision = 'a2'", "two": "revision = 'a2'\ndown_revision = 'a1'"},
            "circle: a1 (one.py), a2 (two.py)",
        ),
        ({"one": "revision = 'a1'\ndepends_on = 'zz'"}, "zz"),
        ({"one": "revision = 17"}, "17"),
        ({"one": "revision = ''"}, "''"),
        ({"one": "revision = make()"}, "one.py line 1 computes revision"),
        ({"one": "revision = 'a1'\ndown_revision = 5"}, "one.py"),
        ({"one": "revision = 'a-1'"}, "a-1"),
        ({"one": "revision = 'a1\0'"}, "one.py"),
    ],
)
def test_files_that_form_no_history(tmp_path: Path, texts: dict[str, str], said: str) -> None:
    """A broken history is one error that names the file or the revision, in a line."""
    with pytest.raises(BrokenHistoryError) as caught:
        read_history(files(tmp_path, **texts))
    assert said in caught.value.message
    assert "\n" not in str(caught.value)
