"""API keys: who has one, made and ended here. A new key is shown once, in the answer that made it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import structlog
from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select

from models.plain import storable
from models.tables import ApiKey
from producer.api.context import Here
from producer.api.problems import Problem
from producer.keys import ApiKeyError, Scope, create_key, list_keys, revoke_key
from producer.web.guard import Chief, Form, page_router, text_of
from producer.web.render import render

log = structlog.get_logger("drumline.web")

router = page_router()

SCOPES = {
    Scope.READ: "look at everything, with numbers masked and without texts",
    Scope.SUBMIT: "make and steer campaigns, see numbers and texts, stop and free accounts",
    Scope.ADMIN: "also lift suppressions, make and end keys",
}


@router.get("/keys")
def page(request: Request, here: Here, viewer: Chief, done: Annotated[str, Query(max_length=20)] = "") -> Response:
    with here.database.read() as session:
        rows = list_keys(session)
    told = "The key is revoked: it opens nothing any more." if done == "revoked" else ""
    return render(
        request, "keys.html", viewer=viewer, rows=rows, scopes=SCOPES, done=told, made=None, fault="", name=""
    )


@router.post("/keys")
def create(request: Request, here: Here, viewer: Chief, form: Form) -> Response:
    """The answer is the only place the key is ever shown at; reloading it makes another one only after a question."""
    name, made, fault = storable(text_of(form, "name"))[:100], None, ""
    try:
        with here.database.write() as session:
            made, row = create_key(session, name, text_of(form, "scope"), here.now())
        log.info("key_made", api_key_name=viewer.name, made=row.name, scope=row.scope)
    except ApiKeyError as error:
        fault = str(error)
    with here.database.read() as session:
        rows = list_keys(session)
    return render(
        request, "keys.html", 422 if fault else 201,
        viewer=viewer, rows=rows, scopes=SCOPES, done="", made=made, fault=fault, name=name if fault else "",
    )  # fmt: skip


@router.get("/keys/{key_id}/revoke")
def confirm(request: Request, key_id: UUID, here: Here, viewer: Chief) -> Response:
    with here.database.read() as session:
        row = session.execute(select(ApiKey).where(ApiKey.id == key_id)).scalar_one_or_none()
    if row is None:
        raise Problem(404, "not-found", f"there is no key {key_id}")
    return render(request, "confirm_revoke.html", viewer=viewer, row=row, own=row.id == viewer.key_id)


@router.post("/keys/{key_id}/revoke")
def revoke(key_id: UUID, here: Here, viewer: Chief) -> Response:
    """At once, with every session that was opened with it."""
    try:
        with here.database.write() as session:
            row = revoke_key(session, key_id, here.now())
    except ApiKeyError as error:
        raise Problem(404, "not-found", str(error)) from error
    log.info("key_revoked", api_key_name=viewer.name, revoked=row.name)
    return RedirectResponse("/keys?done=revoked", 303)
