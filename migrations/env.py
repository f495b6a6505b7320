"""The Alembic environment of tbcv: the models meet the migrations here, everything else is tbcv's."""

from tbcv.core.database import RENDERED_TYPES, Base
from tbcv.migrate.environment import run

run(Base.metadata, rendered_types=RENDERED_TYPES)
