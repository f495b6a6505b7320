"""Plans: where they end, in words that no longer depend on where they began."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.errors import MultipleHeadsError
from tbcv.migrate.history import History, Revision
from tbcv.migrate.plan import Direction, plan_downgrade, plan_upgrade


def history_of(**parents: tuple[str, ...]) -> History:
    """Make a history out of ids and their parents."""
    return History({one: Revision(one, above, (), (), one, one, Path(f"{one}.py")) for one, above in parents.items()})


LINE = history_of(a1=(), a2=("a1",), a3=("a2",))
FORK = history_of(a1=(), b1=("a1",), b2=("a1",))


@pytest.mark.parametrize(
    ("current", "target", "ids", "destination"),
    [
        ((), "head", ("a1", "a2", "a3"), "a3"),
        ((), "+2", ("a1", "a2"), "a2"),
        (("a1",), "+1", ("a2",), "a2"),
        (("a1",), "heads", ("a2", "a3"), "heads"),
        (("a3",), "head", (), "head"),
    ],
)
def test_up(current: tuple[str, ...], target: str, ids: tuple[str, ...], destination: str) -> None:
    """An upgrade's destination is the revision at which it ends; without steps, what was asked for."""
    plan = plan_upgrade(LINE, current, target)
    assert (plan.direction, plan.current, plan.target) == (Direction.UPGRADE, current, target)
    assert (plan.ids, plan.destination) == (ids, destination)


@pytest.mark.parametrize(
    ("target", "ids", "destination"),
    [("-1", ("a3",), "a2"), ("a1", ("a3", "a2"), "a1"), ("base", ("a3", "a2", "a1"), "base"), ("a3", (), "a3")],
)
def test_down(target: str, ids: tuple[str, ...], destination: str) -> None:
    """A downgrade's destination is what lies below its last step: `-1` means the same when it is looked at again."""
    plan = plan_downgrade(LINE, ("a3",), target)
    assert (plan.direction, plan.ids, plan.destination) == (Direction.DOWNGRADE, ids, destination)
    assert plan_downgrade(LINE, ("a3",), plan.destination).ids == ids


def test_head_of_a_fork() -> None:
    """`head` needs a single one, also for a database that has nothing to do; `heads` takes them all."""
    for current in ((), ("b1",), ("b1", "b2")):
        with pytest.raises(MultipleHeadsError):
            plan_upgrade(FORK, current)
    assert sorted(plan_upgrade(FORK, (), "heads").ids) == ["a1", "b1", "b2"]
