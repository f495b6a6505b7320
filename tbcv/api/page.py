"""The status page: readiness and schema for eyes."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from tbcv import __version__
from tbcv.api.database import Database, look, require_usable
from tbcv.api.schema import Schema
from tbcv.errors import TbcvError

router = APIRouter(include_in_schema=False)

_templates = Jinja2Templates(directory=Path(__file__).with_name("templates"))


@router.get("/")
async def page(request: Request, database: Database) -> HTMLResponse:
    """Show whether this process is ready and where the schema stands."""
    schema, problem, messages = None, None, {}
    try:
        found = await look(database)
        schema = Schema.of(database.address, found)
        revisions = database.migrations.history().revisions
        messages = {
            one: revisions[one].message for one in {*found.current, *found.heads, *found.pending} & revisions.keys()
        }
        require_usable(found)
    except TbcvError as error:
        problem = error
    return _templates.TemplateResponse(
        request,
        "status.html",
        {
            "address": database.address,
            "schema": schema,
            "problem": problem,
            "messages": messages,
            "version": __version__,
        },
        headers={"Cache-Control": "no-store"},
    )
