"""Whether the process is up, and whether it can do its work."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import structlog
from alembic.config import Config
from alembic.script import ScriptDirectory
from fastapi import APIRouter, Response
from pydantic import BaseModel
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

import models.database
from models.database import DatabaseError
from producer.api.context import Context, Here

log = structlog.get_logger("drumline.api")
router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: Literal["ok", "failing"]
    checks: dict[str, str] = {}


@router.get("/healthz", response_model=Health, summary="Process up")
async def healthz() -> Health:
    """Answers as long as the process does."""
    return Health(status="ok")


@router.get("/readyz", response_model=Health, responses={503: {"model": Health}}, summary="Able to work")
def readyz(here: Here, response: Response) -> Health:
    """Database, its schema and Redis."""
    checks = {"database": _database(here), "redis": _redis(here)}
    failing = any(found != "ok" for found in checks.values())
    if failing:
        log.warning("not_ready", **checks)
        response.status_code = 503
    return Health(status="failing" if failing else "ok", checks=checks)


def _database(here: Context) -> str:
    try:
        here.database.check()
        with here.database.read() as session:
            revision = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    except DatabaseError:
        return "does not answer"
    except SQLAlchemyError:
        revision = None  # it answers, and has not even the table of versions
    return "ok" if revision == newest_revision() else "its tables are not of this version; run the migrations"


def _redis(here: Context) -> str:
    try:
        here.ping_redis()
    except (RedisError, OSError, ValueError):
        return "does not answer"
    return "ok"


@lru_cache(maxsize=1)
def newest_revision() -> str | None:
    """The revision that this code expects."""
    config = Config()
    config.set_main_option("script_location", str(Path(models.database.__file__).with_name("migrations")))
    return ScriptDirectory.from_config(config).get_current_head()
