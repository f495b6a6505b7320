"""Does a new revision break the release that runs before it, or the one that comes with it?

Nobody can tell from a revision's text. So the statements of the one release are run on the schema of the other: those
of its models where there are models, else the plain statements that its schema suggests.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import get_args

from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.findings import Effect, Evidence, Finding, Severity
from tbcv.gate.releases.blame import locate
from tbcv.gate.releases.clashes import Clash
from tbcv.gate.releases.mapped import MappedClasses
from tbcv.gate.releases.passage import Passage, Stretch
from tbcv.gate.releases.reflected import reflected_clashes
from tbcv.gate.staging.templates import Place
from tbcv.migrate.history import Revision, read_history
from tbcv.migrate.location import AlembicEnvironment

__all__ = ["Compatibility", "RevisionVerdict", "Verdict", "additive_marks", "check_compatibility"]

CODE = "breaks-previous-release"
CODE_IF = "narrows-accepted-values"


class Verdict(StrEnum):
    """In which order a revision and the code that comes with it may arrive."""

    ADDITIVE = "additive"
    NEEDS_NEW_CODE_FIRST = "needs-new-code-first"
    BREAKING = "breaking"


@dataclass(frozen=True, slots=True)
class RevisionVerdict:
    """What a revision means for the code around it.

    Attributes:
        revision: Its id.
        verdict: In a word.
        reasons: What no longer works, a line each; empty where everything does.
    """

    revision: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compatibility:
    """What revisions mean for the code around them.

    Attributes:
        dialect: The engine on which it was seen.
        verdicts: One for each revision, in the order of the chain; a revision that does not run has none, nor have
            those after it.
        deploy_order: What to do in which order, in a sentence.
        findings: What breaks the previous release (``breaks-previous-release``), and what does if it writes certain
            values (``narrows-accepted-values``).
        failure: Why a revision does not run; empty where all do.
    """

    dialect: Dialect
    verdicts: tuple[RevisionVerdict, ...]
    deploy_order: str
    findings: tuple[Finding, ...]
    failure: str = ""


async def check_compatibility(
    environment: AlembicEnvironment,
    scratch: ScratchDatabases,
    dialect: Dialect,
    revisions: tuple[Revision, ...],
    *,
    classes: MappedClasses | None,
    start: Place | None = None,
) -> Compatibility:
    """Find out whether the releases before and after revisions can run on each other's schemas.

    Args:
        environment: The chain.
        scratch: Where to try it.
        dialect: The engine on which to try it.
        revisions: The new ones, in the order of the chain.
        classes: The models of both releases; None derives the statements from the schemas.
        start: A database that has old revisions already, which then need not run again.

    Raises:
        UpgradeFailedError: The chain below the revisions does not run.
        ConfigurationError: The models cannot be imported.
    """
    verdicts: list[RevisionVerdict] = []
    findings: list[Finding] = []
    async with AsyncExitStack() as stack:
        planter = classes.plant if classes else None
        passage = await stack.enter_async_context(Passage(environment, scratch, dialect, planter, start))
        for revision in revisions:
            async with passage.through(revision) as stretch:
                if stretch is None:
                    break
                old, new = await _clashes(stretch, classes)
                verdicts.append(_verdict(revision, old, new))
                findings += [_finding(revision, dialect, clash) for clash in old]
    return Compatibility(dialect, tuple(verdicts), deploy_order(verdicts), tuple(findings), passage.failure)


async def additive_marks(
    environment: AlembicEnvironment, scratch: ScratchDatabases, revisions: Collection[str]
) -> Mapping[str, bool]:
    """Return of revisions whether the release before each may run on its schema, on both engines.

    The statements are derived from the schemas: there are no models of the releases of the past. A revision that
    does not run has no mark, nor has one that seems additive while an engine is not at hand.

    Args:
        environment: The chain.
        scratch: Where to try it.
        revisions: The ids of those to mark.

    Raises:
        UpgradeFailedError: The chain below them does not run.
    """
    wanted = tuple(one for one in read_history(environment).ordered() if one.id in revisions)
    found: dict[str, list[bool]] = {}
    for dialect in scratch.dialects if wanted else ():
        for one in (await check_compatibility(environment, scratch, dialect, wanted, classes=None)).verdicts:
            found.setdefault(one.revision, []).append(one.verdict is Verdict.ADDITIVE)
    return {name: all(seen) for name, seen in found.items() if len(seen) == len(get_args(Dialect)) or not all(seen)}


def deploy_order(verdicts: list[RevisionVerdict]) -> str:
    """Say in which order the database and the code may be brought forward, so that no running release breaks."""
    words = [one.verdict for one in verdicts]
    late = [one.revision for one in verdicts if one.verdict is not Verdict.ADDITIVE]
    first = len(words) - len(late)
    if not late:
        return "Upgrade the database first, then deploy the new code." if words else "Nothing to deploy."
    if Verdict.BREAKING in words:
        names = ", ".join(one.revision for one in verdicts if one.verdict is Verdict.BREAKING)
        return (
            f"No order keeps every running release working: {names} breaks the old code, and the new code cannot run "
            "before it. Split it into a revision that adds, a release that uses both, and a revision that removes; "
            "or stop the old code, upgrade, and start the new."
        )
    if words[:first] != [Verdict.ADDITIVE] * first:
        return (
            f"{', '.join(late)} must wait until the old code is gone, and additive revisions stand behind: put them "
            "first, or release them apart."
        )
    last = "Deploy the new code, wait until the old code is gone, then upgrade"
    if first == 0:
        return f"{last} the database."
    return f"Upgrade the database to {verdicts[first - 1].revision}. {last} to {verdicts[-1].revision}."


def combined_order(results: Sequence[Compatibility]) -> str:
    """Say the same for several engines at once: what breaks on one of them breaks."""
    weights = list(Verdict)
    worst: dict[str, RevisionVerdict] = {}
    for one in (verdict for result in results for verdict in result.verdicts):
        known = worst.get(one.revision)
        if known is None or weights.index(one.verdict) > weights.index(known.verdict):
            worst[one.revision] = one
    return deploy_order(list(worst.values()))


async def _clashes(stretch: Stretch, classes: MappedClasses | None) -> tuple[tuple[Clash, ...], tuple[Clash, ...]]:
    if classes is not None:
        return await classes.clashes(stretch)
    return await reflected_clashes(stretch)


def _verdict(revision: Revision, old: tuple[Clash, ...], new: tuple[Clash, ...]) -> RevisionVerdict:
    if not old:
        return RevisionVerdict(revision.id, Verdict.ADDITIVE)
    reasons = tuple(f"the previous release: {_words(one)}" for one in old)
    if not new:
        return RevisionVerdict(revision.id, Verdict.NEEDS_NEW_CODE_FIRST, reasons)
    more = tuple(f"the new release before the upgrade: {_words(one)}" for one in new)
    return RevisionVerdict(revision.id, Verdict.BREAKING, reasons + more)


def _finding(revision: Revision, dialect: Dialect, clash: Clash) -> Finding:
    where = locate(revision.path, clash.table, clash.column)
    evidence = Evidence(statement=clash.statement, relation=clash.table)
    if not clash.certain:
        return Finding(
            CODE_IF,
            Severity.WARNING,
            f"revision {revision.id} refuses values that were accepted before: {_words(clash)}",
            "deploy code that writes no such values before the upgrade, unless the previous release never did",
            revision.id,
            where,
            dialect=dialect,
            evidence=evidence,
            depends_on="whether the previous release writes such values",
        )
    return Finding(
        CODE,
        Severity.ERROR,
        f"revision {revision.id} breaks the previous release: {_words(clash)}",
        "add first, release code that uses the old and the new, and remove in a later revision",
        revision.id,
        where,
        (Effect.BREAKS_PREVIOUS_RELEASE,),
        dialect,
        evidence,
    )


def _words(clash: Clash) -> str:
    name = f"{clash.table}.{clash.column}" if clash.column else clash.table
    shown = ", ".join(clash.statements[:4]) + (", …" if len(clash.statements) > 4 else "")
    return f"{name}: {shown}: {clash.error}"
