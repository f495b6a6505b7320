"""Scratch databases are filled with rows that their constraints admit, the same ones each time."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

import pytest
from sqlalchemy import text

from tbcv.engine.engines import migration_engine
from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.gate.rehearsals.contents import Contents, read_contents
from tbcv.gate.seeding.named import Named, NamedValue
from tbcv.gate.seeding.seed import seed
from tbcv.settings import Settings
from tests.conftest import ENGINES

Dialect = Literal["sqlite", "postgresql"]

BOTH = """
CREATE TABLE teams (id integer PRIMARY KEY, name varchar(30) NOT NULL UNIQUE, lead integer REFERENCES teams (id));
CREATE TABLE rooms (floor integer NOT NULL, door integer NOT NULL, seats smallint CHECK (seats BETWEEN 2 AND 9),
    PRIMARY KEY (floor, door));
CREATE TABLE people (id integer PRIMARY KEY, email varchar(50) NOT NULL UNIQUE, nick varchar(3) UNIQUE,
    team_id integer NOT NULL REFERENCES teams (id), floor integer, door integer, state varchar(9) NOT NULL,
    born date, seen timestamp, pay numeric(8, 2), share float, active boolean NOT NULL, story text,
    CHECK (state IN ('new', 'it''s')), CHECK (pay > 0 AND length(nick) < 4),
    FOREIGN KEY (floor, door) REFERENCES rooms (floor, door));
CREATE TABLE memberships (person_id integer NOT NULL REFERENCES people (id),
    team_id integer NOT NULL REFERENCES teams (id), PRIMARY KEY (person_id, team_id));
CREATE TABLE "Odd Name" ("select" integer PRIMARY KEY, "a b" text);
CREATE TABLE impossible (id integer PRIMARY KEY, a integer NOT NULL CHECK (a < 0 AND a > 0));
"""
POSTGRESQL = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN percent AS integer CHECK (value BETWEEN 0 AND 100);
CREATE TABLE kinds (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m mood NOT NULL, ms mood[] NOT NULL,
    doc jsonb NOT NULL, doc2 json, tags text[], at timestamptz NOT NULL, t time, i interval, u uuid NOT NULL,
    b bytea, net inet, span int4range, p percent, c char(4), twice integer GENERATED ALWAYS AS (p * 2) STORED,
    words tsvector, EXCLUDE USING gist (span WITH &&));
CREATE TABLE logs (id integer, day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE logs_2020 PARTITION OF logs FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE one (id serial PRIMARY KEY, other integer NOT NULL);
CREATE TABLE two (id serial PRIMARY KEY, one_id integer NOT NULL REFERENCES one (id));
ALTER TABLE one ADD FOREIGN KEY (other) REFERENCES two (id);
"""
ROWS = 150


async def made(scratch: ScratchDatabases, address: DatabaseURL) -> tuple[dict[str, int], Contents]:
    """Create the tables, fill them, and return how many rows each has, and the rows."""
    engine = migration_engine(address)
    try:
        async with engine.begin() as connection:
            script = BOTH + (POSTGRESQL if address.dialect == "postgresql" else "")
            for statement in filter(str.strip, script.split(";\n")):
                await connection.execute(text(statement))
            await connection.execute(text("INSERT INTO teams (id, name) VALUES (70000, 'from the history')"))
        seeded = await seed(address, ROWS)
        async with engine.connect() as connection:
            contents = await connection.run_sync(read_contents)
    finally:
        await engine.dispose()
    assert set(seeded.unfilled) >= {name for name, count in seeded.rows.items() if count == 0}
    return {name.strip('"'): count for name, count in seeded.rows.items()}, contents


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_filled(dialect: Dialect) -> None:
    """Every table that can be filled is, with NULLs, other scripts and full lengths; the impossible is left empty."""
    async with ScratchDatabases(Settings.from_env()) as scratch:
        async with scratch.database(dialect) as address:
            counts, contents = await made(scratch, address)
        async with scratch.database(dialect) as address:
            _, same = await made(scratch, address)
    assert counts.pop("impossible") == 0
    # Two tables that need each other's rows before their own cannot be filled one after the other.
    circle = {counts.pop(name, 0) for name in ("one", "two")}
    assert circle <= {0, ROWS}
    assert min(counts.values()) >= ROWS // 2, counts
    assert {name: table.rows for name, table in contents.items()} == {name: table.rows for name, table in same.items()}
    people = contents["people"]
    assert set(people.present("state")) == {"new", "it's"}
    assert people.present("pay").total() < len(people.rows)
    assert max(len(value) for value in people.present("story")) > 1000
    assert any(not value.isascii() for value in people.present("story"))
    assert contents["teams"].present("lead")


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_constraints_hold(dialect: Dialect) -> None:
    """No row contradicts a foreign key, though none is checked while rows are inserted."""
    async with ScratchDatabases(Settings.from_env()) as scratch, scratch.database(dialect) as address:
        _, contents = await made(scratch, address)
    teams = set(contents["teams"].values("id"))
    assert set(contents["people"].values("team_id")) <= teams
    assert {value for value in contents["teams"].values("lead") if value is not None} <= teams
    rooms = set(zip(contents["rooms"].values("floor"), contents["rooms"].values("door"), strict=True))
    used = set(zip(contents["people"].values("floor"), contents["people"].values("door"), strict=True))
    assert {pair for pair in used if None not in pair} <= rooms
    assert len(used) > 10


async def filled(dialect: Dialect, *statements: str, named: Named = MappingProxyType({})) -> Contents:
    """Make a scratch database by some statements, fill it, and return its rows."""
    async with ScratchDatabases(Settings.from_env()) as scratch, scratch.database(dialect) as address:
        engine = migration_engine(address)
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
        await seed(address, ROWS, named=named)
        async with engine.connect() as connection:
            contents = await connection.run_sync(read_contents)
        await engine.dispose()
    return contents


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_rows_of_the_history_stay_alone(dialect: Dialect) -> None:
    """A table that the history has filled is left as it is, and what looks like a reference mostly refers to it."""
    contents = await filled(
        dialect,
        "CREATE TABLE shops (id integer PRIMARY KEY, city text)",
        "CREATE TABLE visits (id integer PRIMARY KEY, shop_id integer)",
        *(f"INSERT INTO shops VALUES ({number + 1000}, 'Rome')" for number in range(25)),
    )
    assert set(contents["shops"].values("city")) == {"Rome"}
    shops, mentioned = set(contents["shops"].values("id")), contents["visits"].values("shop_id")
    strays = [one for one in mentioned if one is not None and one not in shops]
    assert 0 < len(strays) < len(mentioned) / 10


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_documents_that_are_named(dialect: Dialect) -> None:
    """A document that is named is put into a column of documents, and what is none is not."""
    named = {"meta": tuple(NamedValue(one, changing=True) for one in ('{"page": 7}', "{", "7", "page"))}
    contents = await filled(dialect, "CREATE TABLE photos (id integer PRIMARY KEY, meta json)", named=named)
    pages = [json.loads(one) for one in contents["photos"].values("meta") if one and "page" in one]
    assert pages
    assert all(one == {"page": 7} for one in pages)


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_identifiers_of_two_tables(dialect: Dialect) -> None:
    """No UUID is that of a row of two tables, which a revision may put together."""
    tables, columns = ("old_limits", "new_limits"), "(id char(36) PRIMARY KEY, size integer)"
    contents = await filled(dialect, *(f"CREATE TABLE {name} {columns}" for name in tables))
    old, new = (set(contents[name].values("id")) for name in tables)
    assert len(old) == len(new) == ROWS
    assert not old & new


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_a_circle_that_may_wait(dialect: Dialect) -> None:
    """Of two tables that refer to each other, the one that need not is filled first, and then the other one."""
    circle = ["CREATE TABLE pools (id integer PRIMARY KEY, queue_id integer REFERENCES queues (id))"]
    circle += ["CREATE TABLE queues (id integer PRIMARY KEY, pool_id integer NOT NULL REFERENCES pools (id))"]
    if dialect == "postgresql":
        circle = [circle[0].replace(" REFERENCES queues (id)", ""), circle[1]]
        circle += ["ALTER TABLE pools ADD FOREIGN KEY (queue_id) REFERENCES queues (id)"]
    contents = await filled(dialect, *circle)
    assert set(contents["queues"].values("pool_id")) <= set(contents["pools"].values("id"))
    assert len(contents["queues"].rows) > ROWS // 2


@pytest.mark.anyio
async def test_times_that_are_none() -> None:
    """Some local times are in the hour that clocks leave out, in Europe and in America, and times spread over years."""
    contents = await filled("postgresql", "CREATE TABLE visits (id integer PRIMARY KEY, begun timestamp NOT NULL)")
    times = contents["visits"].present("begun")
    assert {one[:13] for one in times} >= {"2024-03-31 02", "2024-03-10 02"}
    assert {one[:4] for one in times} >= {"2018", "2020"}


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_patterns_are_matched(dialect: Dialect) -> None:
    """Texts are such as a pattern wants them, whichever way the engine writes it."""
    checks = {
        "sqlite": ("code GLOB '[A-Z][A-Z]-[0-9]*'", "length(pin) = 5 AND pin NOT GLOB '*[^0-9]*'"),
        "postgresql": ("code ~ '^[[:upper:]]{2}-[0-9]+.*$'", "pin ~ '^[^a-z]{5,}$' AND pin !~ 'x'"),
    }
    first, second = checks[dialect]
    contents = await filled(
        dialect,
        "CREATE TABLE cards (id integer PRIMARY KEY, code text NOT NULL, pin varchar(9) CHECK (" + second + "),"
        f" state varchar(20) NOT NULL, CHECK (state IN ('new', 'lost') AND {first}))",
    )
    cards = contents["cards"]
    assert len(cards.rows) > ROWS / 2
    assert len(cards.present("code")) > ROWS / 4
    assert len(cards.present("pin")) > ROWS / 4
    assert set(cards.values("state")) == {"new", "lost"}


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_what_lasts_does_so_for_various_times(dialect: Dialect) -> None:
    """A later time of a row mostly is later, and not by the same for all; strict rules about days are satisfied."""
    contents = await filled(
        dialect,
        "CREATE TABLE stays (id integer PRIMARY KEY, arrival date NOT NULL, departure date NOT NULL,"
        " called timestamp NOT NULL, ended timestamp NOT NULL, CHECK (arrival < departure))",
    )
    stays = contents["stays"]
    assert len(stays.rows) > ROWS * 0.7
    times = zip(stays.values("called"), stays.values("ended"), strict=True)
    lasted = [datetime.fromisoformat(str(end)) - datetime.fromisoformat(str(begin)) for begin, end in times]
    assert len(set(lasted)) > 2
    assert sum(one > timedelta() for one in lasted) > len(lasted) * 0.9
