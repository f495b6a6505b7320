"""A revision is run once more, on rows that it has not met yet: whether it fails, and what else is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from tbcv.engine.scratch import worked
from tbcv.engine.url import DatabaseURL
from tbcv.gate.observers.origin import Origin
from tbcv.gate.rehearsals.contents import Contents, find_changes, find_unrestored, read_contents
from tbcv.gate.rehearsals.losses import RowsLost
from tbcv.gate.rehearsals.rehearsed import Failure, Setback, StepRehearsal, failure_of
from tbcv.gate.releases.passage import on
from tbcv.gate.staging.stage import Stage
from tbcv.migrate.history import Revision


async def failure_again(stage: Stage, address: DatabaseURL, revision: Revision) -> Failure | None:
    """Run an upgrade on whatever there is, and return why it fails; None where it does not."""
    return await _failure(stage.upgrade(address, (revision.id,)), revision)


async def setback_of(stage: Stage, address: DatabaseURL, step: StepRehearsal, failure: Failure) -> Setback | None:
    """Run an upgrade once more where it has failed, and return what becomes of it.

    Args:
        stage: Runs the revision.
        address: Where it has failed.
        step: The revision, and what it executed.
        failure: Why it has failed.

    Returns:
        None where nothing of it had been committed, or it fails as before and does nothing twice.
    """
    # The driver of SQLite commits changes of the schema by itself, unless it is told not to.
    if not (address.dialect == "sqlite" or step.is_in_parts):
        return None
    left = await worked(address, read_contents)
    again = await failure_again(stage, address, step.revision)
    if again is None:
        # Whatever it failed on is there as before.
        return Setback("passes over what that one failed to do", failure.location)
    if again.message != failure.message:
        return Setback.of(again)
    twice = find_changes(left, await worked(address, read_contents))
    return Setback(f"does again in {', '.join(twice)} what was done already", failure.location) if twice else None


async def with_losses(
    stage: Stage,
    trial: DatabaseURL,
    step: StepRehearsal,
    find: Callable[[Contents, Contents], Iterable[RowsLost]],
    *,
    and_back: bool = False,
) -> StepRehearsal:
    """Run a revision up and down on other rows.

    Args:
        stage: Runs the revision.
        trial: A database at the revision's parents.
        step: What came of the revision on its first rows.
        find: Says what is lost between two moments, and was not the first time.
        and_back: Whether to look at the way back also where nothing is lost.

    Returns:
        The same, with what is lost besides, and not restored; unchanged where the upgrade fails.
    """
    before = await on(trial, read_contents)
    if await failure_again(stage, trial, step.revision):
        return step
    losses = tuple(find(before, await on(trial, read_contents)))
    step = replace(step, losses=(*step.losses, *losses))
    back = step.way_back
    if not (losses or and_back) or not back or await _failure(stage.downgrade(trial, step.revision.id), step.revision):
        return step
    return replace(step, way_back=back.lacking(find_unrestored(before, await on(trial, read_contents))))


async def _failure(run: Awaitable[object], revision: Revision) -> Failure | None:
    try:
        await run
    except Exception as error:  # a revision may raise anything
        return failure_of(error, Origin(revision.path))
    return None
