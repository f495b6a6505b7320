"""Where the schema of the database stands."""

from __future__ import annotations

from typing import Literal, Self

from fastapi import APIRouter, Request, status
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from tbcv.api.database import Database, look
from tbcv.engine.url import DatabaseURL
from tbcv.errors import TbcvError
from tbcv.migrate.status import State, Status

router = APIRouter(prefix="/api", tags=["schema"])


class Schema(BaseModel):
    """Where the schema of the database stands among the revisions of this release."""

    model_config = ConfigDict(frozen=True)

    database: str = Field(description="Its URL without the password.")
    engine: Literal["sqlite", "postgresql"]
    state: State
    description: str = Field(description="The state in words, with its number.")
    current: tuple[str, ...] = Field(description="The revisions that the database records.")
    head: str | None = Field(description="The newest revision of this release; null where there are several.")
    heads: tuple[str, ...] = Field(description="All revisions that no other follows.")
    pending: tuple[str, ...] = Field(description="The revisions that are not applied, in order.")

    @classmethod
    def of(cls, address: DatabaseURL, status: Status) -> Self:
        """Describe a status of a database."""
        return cls(
            database=address.redacted,
            engine=address.dialect,
            state=status.state,
            description=status.description,
            current=status.current,
            head=status.heads[0] if len(status.heads) == 1 else None,
            heads=status.heads,
            pending=status.pending,
        )


class Problem(BaseModel):
    """Why there is no answer."""

    model_config = ConfigDict(frozen=True)

    error: str = Field(description="A stable code.")
    message: str = Field(description="What is wrong and where.")
    hint: str = Field(description="What to do next; may be empty.")


@router.get("/schema", responses={503: {"model": Problem, "description": "The database cannot be read"}})
async def schema(database: Database) -> Schema:
    """Tell state, revisions, engine and address of the database."""
    return Schema.of(database.address, await look(database))


async def answer_problem(_request: Request, error: Exception) -> JSONResponse:
    """Turn a `TbcvError` that a route let through into a `Problem` with status 503."""
    assert isinstance(error, TbcvError)
    problem = Problem(error=error.code, message=error.message, hint=error.hint)
    return JSONResponse(problem.model_dump(), status.HTTP_503_SERVICE_UNAVAILABLE)
