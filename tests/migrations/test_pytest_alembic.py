"""The tests that pytest-alembic brings, on both engines."""

from __future__ import annotations

import json
import subprocess
import sys

from pytest_alembic.tests import (
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from pytest_alembic.tests.experimental import test_downgrade_leaves_no_trace

__all__ = [
    "test_downgrade_leaves_no_trace",
    "test_model_definitions_match_ddl",
    "test_single_head_revision",
    "test_up_down_consistency",
    "test_upgrade",
]

TABLES_OF_ENV = """
import json
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from tbcv.migrate.location import own_environment

def collect(_revision, context):
    print(json.dumps(sorted(context.opts["target_metadata"].tables)))
    return []

config = Config(str(own_environment().config_file))
config.set_main_option("script_location", str(own_environment().directory))
config.set_main_option("sqlalchemy.url", "sqlite:///unused.db")
script = ScriptDirectory.from_config(config)
with EnvironmentContext(config, script, fn=collect, as_sql=True):
    script.run_env()
"""

TABLES_OF_PACKAGE = """
import importlib, json, pkgutil
from sqlalchemy.orm import DeclarativeBase
import tbcv

for module in pkgutil.walk_packages(tbcv.__path__, "tbcv."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
bases = [base for base in DeclarativeBase.__subclasses__() if base.__module__.startswith("tbcv.")]
print(json.dumps(sorted(table for base in bases for table in base.metadata.tables)))
"""


def tables_seen_by(program: str) -> list[str]:
    """Return the tables that a program prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names: list[str] = json.loads(done.stdout)
    return names


def test_all_models_register_on_metadata() -> None:
    """The environment sees every model in the package; pytest-alembic's own test knows no DeclarativeBase."""
    assert tables_seen_by(TABLES_OF_ENV) == tables_seen_by(TABLES_OF_PACKAGE)
