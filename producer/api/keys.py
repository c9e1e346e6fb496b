"""API keys, for admins: made, listed, given another quota, revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from models.tables import ApiKey
from producer import keys, quota
from producer.api.access import Admin, guarded_router
from producer.api.context import Here
from producer.api.posting import Once
from producer.api.problems import Problem, responses
from producer.api.values import Plain, Whole
from producer.keys import ApiKeyError, Scope

router = guarded_router("keys")

Quota = Annotated[Whole | None, Field(ge=0, le=quota.MOST, description="Messages a day (UTC); null: any number")]


class KeyIn(BaseModel):
    """A new key."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "shop", "scope": "submit", "daily_quota": 50_000}]}
    )

    name: Annotated[
        Plain, Field(min_length=1, max_length=100, pattern=r"\S", description="Who will use it", examples=["shop"])
    ]
    scope: Scope = Scope.SUBMIT
    daily_quota: Quota = None


class QuotaIn(BaseModel):
    """Another quota; what was taken today stays taken."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"daily_quota": 100_000}]})

    daily_quota: Quota


class KeyOut(BaseModel):
    """A key without the key itself. `used_today`: messages of campaigns it made that were started today (UTC)."""

    id: UUID
    name: str
    scope: Scope
    prefix: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    daily_quota: int | None
    used_today: int


class KeyMade(KeyOut):
    """`key` is shown once: only its digest is kept, so that a repeat of the request is answered null."""

    key: str | None


class KeyList(BaseModel):
    """Every key ever made, the newest first."""

    items: list[KeyOut]


@router.get("/keys", response_model=KeyList, summary="List API keys")
def listing(here: Here, caller: Admin) -> KeyList:
    """The revoked ones too. Needs scope admin."""
    with here.database.read() as session:
        found = keys.list_keys(session)
        used = quota.used(session, [row.id for row in found], here.now())
    return KeyList(items=[KeyOut(**_facts(row, used.get(row.id, 0))) for row in found])


@router.post(
    "/keys", status_code=201, response_model=KeyMade, responses=responses(400, 409, 413, 415), summary="Make an API key"
)
def make(body: KeyIn, caller: Admin, once: Once) -> Response:
    """It is shown in this answer and never again. Needs scope admin."""

    def work(session: Session) -> tuple[KeyMade, KeyMade]:
        text, row = keys.create_key(session, body.name, body.scope, once.here.now(), body.daily_quota)
        made = KeyMade(**_facts(row, 0), key=text)
        return made, made.model_copy(update={"key": None})

    return once.run_once_shown(201, work)


@router.put(
    "/keys/{key_id:uuid}/quota", response_model=KeyOut, responses=responses(400, 404, 413, 415), summary="Set its quota"
)
def set_quota(key_id: UUID, body: QuotaIn, here: Here, caller: Admin) -> KeyOut:
    """Holds for whatever starts from now on. Needs scope admin."""
    with here.database.write() as session:
        try:
            row = keys.set_quota(session, key_id, body.daily_quota)
        except ApiKeyError as error:
            raise _absent(error) from error
        return KeyOut(**_facts(row, quota.used(session, [row.id], here.now()).get(row.id, 0)))


@router.delete("/keys/{key_id:uuid}", status_code=204, responses=responses(404), summary="Revoke an API key")
def revoke(key_id: UUID, here: Here, caller: Admin) -> Response:
    """From the next request on. Its campaigns go on. Needs scope admin."""
    with here.database.write() as session:
        try:
            keys.revoke_key(session, key_id, here.now())
        except ApiKeyError as error:
            raise _absent(error) from error
    return Response(status_code=204)


def _facts(row: ApiKey, used: int) -> dict[str, object]:
    names = ("id", "name", "scope", "prefix", "created_at", "last_used_at", "revoked_at", "daily_quota")
    return {**{name: getattr(row, name) for name in names}, "used_today": used}


def _absent(error: ApiKeyError) -> Problem:
    return Problem(404, "not-found", str(error))
