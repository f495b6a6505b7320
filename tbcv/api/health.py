"""Is the process alive, and is it ready: the two questions of whoever runs it."""

from __future__ import annotations

from fastapi import APIRouter, Response, status
from pydantic import BaseModel, ConfigDict, Field

from tbcv.api.database import Database, look, require_usable
from tbcv.errors import TbcvError

router = APIRouter(prefix="/health", tags=["health"])


class Liveness(BaseModel):
    """The process answers."""

    model_config = ConfigDict(frozen=True)

    alive: bool = True


class Readiness(BaseModel):
    """Whether requests may be sent here."""

    model_config = ConfigDict(frozen=True)

    ready: bool = Field(description="Whether the database answers with a schema for this release.")
    reason: str | None = Field(default=None, description="Why not, in one line; absent when ready.")
    note: str | None = Field(default=None, description="What is unusual though ready; absent when nothing is.")


@router.get("/live")
async def live() -> Liveness:
    """Answer while the process runs, whatever the database does."""
    return Liveness()


@router.get(
    "/ready",
    response_model_exclude_none=True,
    responses={503: {"model": Readiness, "description": "Not ready, and why"}},
)
async def ready(response: Response, database: Database) -> Readiness:
    """Answer 200 once this release can run on the schema, and 503 with the reason until then."""
    try:
        found = await look(database)
        require_usable(found)
    except TbcvError as error:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return Readiness(ready=False, reason=str(error))
    return Readiness(ready=True, note=f"the database is {found.description}" if found.tolerable else None)
