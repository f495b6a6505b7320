"""Is the process alive, and is it ready: the two questions of whoever runs it."""

from __future__ import annotations

from fastapi import APIRouter, Response, status
from pydantic import BaseModel, ConfigDict, Field

from tbcv.api.database import Database, look, require_head
from tbcv.errors import TbcvError

router = APIRouter(prefix="/health", tags=["health"])


class Liveness(BaseModel):
    """The process answers."""

    model_config = ConfigDict(frozen=True)

    alive: bool = True


class Readiness(BaseModel):
    """Whether requests may be sent here."""

    model_config = ConfigDict(frozen=True)

    ready: bool = Field(description="Whether the database answers and its schema is at head.")
    reason: str | None = Field(default=None, description="Why not, in one line; absent when ready.")


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
    """Answer 200 once the schema is at head, and 503 with the reason until then."""
    try:
        require_head(await look(database))
    except TbcvError as error:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return Readiness(ready=False, reason=str(error))
    return Readiness(ready=True)
