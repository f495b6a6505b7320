"""A released project, made once, of which every test gets a copy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tbcv.engine.scratch import ScratchDatabases
from tbcv.settings import Settings
from tests.gate.repository import Repository, new_repository

CUSTOMERS = """
op.create_table(
    "customers",
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("name", sa.String(40), nullable=False),
    sa.Column("email", sa.String(80)),
)
"""
ORDERS = """
op.create_table(
    "orders",
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("customer_id", sa.Integer(), sa.ForeignKey("customers.id", name="fk_orders_customer"), nullable=False),
    sa.Column("total", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("note", sa.String(200)),
)
op.create_index("ix_orders_customer_id", "orders", ["customer_id"])
"""


@pytest.fixture(scope="session")
async def released(tmp_path_factory: pytest.TempPathFactory, postgres_admin_url: str, anyio_backend: str) -> Repository:
    """Make a project with two released revisions, ledger and schemas on its main branch."""
    made = new_repository(tmp_path_factory.mktemp("released") / "project")
    made.revision("001", None, CUSTOMERS, 'op.drop_table("customers")')
    made.revision("002", "001", ORDERS, 'op.drop_table("orders")')
    await made.measure(postgres_admin_url)
    made.commit("released")
    return made


@pytest.fixture
def repository(released: Repository, tmp_path: Path) -> Repository:
    """Return a copy of the released project, on a branch of its own."""
    copy = released.copy(tmp_path / "project")
    copy.branch()
    return copy


@pytest.fixture
async def scratch(postgres_admin_url: str) -> AsyncIterator[ScratchDatabases]:
    """Give scratch databases of both engines."""
    async with ScratchDatabases(Settings(scratch_database_url=SecretStr(postgres_admin_url))) as made:
        yield made
