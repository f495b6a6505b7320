"""Clashes of two releases of which only the schemas are known."""

from __future__ import annotations

from sqlalchemy import Connection

from tbcv.gate.releases.clashes import Clash, find_clashes
from tbcv.gate.releases.passage import Side, Stretch, on
from tbcv.gate.releases.rows import mentions
from tbcv.gate.releases.shape import Key, Relation
from tbcv.gate.releases.traffic import accepts_another, converse, play
from tbcv.gate.releases.triggers import firing_on, upserts_in
from tbcv.migrate.snapshot import compare

# What a changed function or type means for a table, its name does not tell.
_TELLING = ("table ", "view ", "sequence ")


async def reflected_clashes(stretch: Stretch) -> tuple[tuple[Clash, ...], tuple[Clash, ...]]:
    """Run the plain statements of either schema on the other.

    Returns:
        What of the old schema's statements the new schema refuses; and, if there is any, what of the new one's
        statements the old schema certainly refuses.
    """
    before, after = stretch.before, stretch.after
    only = _touched(before, after)
    if not only:
        return (), ()
    old = await _compare(before, after, only)
    if not old:
        return (), ()
    return old, tuple(one for one in await _compare(after, before, only) if one.certain)


async def _compare(home: Side, away: Side, only: frozenset[Key]) -> tuple[Clash, ...]:
    traffic, worked = await on(home.address, converse, home.shape.around(only), only)
    upserts = upserts_in(home.snapshot, away.snapshot)

    def clashes(connection: Connection) -> tuple[Clash, ...]:
        answers = play(connection, traffic, only)

        def takes_another(relation: Relation) -> bool:
            connection.rollback()
            return accepts_another(connection, traffic, relation, away.shape)

        return find_clashes((traffic.shape, worked), (away.shape, answers), takes_another, upserts)

    return await on(away.address, clashes)


def _touched(before: Side, after: Side) -> frozenset[Key]:
    """Return the relations that a change of the schema may concern."""
    difference = compare(before.snapshot, after.snapshot)
    facts = (*difference.missing, *difference.unexpected)
    relations = (*before.shape.relations, *after.shape.relations)
    if not all(fact.subject.startswith(_TELLING) for fact in facts):
        return frozenset(one.id for one in relations)
    text = "\n".join(f"{fact.subject} {fact.line}" for fact in facts)
    touched = {one.id for one in relations if mentions(text, one.name)}
    # What a trigger does there is done by those who write to its own table.
    fired = {subject for side in (before, after) for _, name in touched for subject in firing_on(side.snapshot, name)}
    return frozenset(touched | {one.id for one in relations if any(mentions(subject, one.name) for subject in fired)})
