"""In and out: an API key opens a session, the same keys and scopes as for the API."""

from __future__ import annotations

import secrets
from typing import Annotated

import structlog
from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse

from producer.api.access import admit
from producer.api.context import Here
from producer.api.problems import Problem
from producer.sessions import end_session, form_token, open_session, same_token
from producer.web import cookies
from producer.web.guard import CSRF_FIELD, Anyone, Form, open_router, page_router, text_of
from producer.web.render import render

log = structlog.get_logger("drumline.web")

router = page_router()
entrance = open_router()
PURPOSE = "sign-in"
MOST_KEY = 200


@entrance.get("/sign-in")
def ask(request: Request, wanted: Annotated[str, Query(alias="next", max_length=2000)] = "/") -> Response:
    return _form(request, wanted)


@entrance.post("/sign-in")
def sign_in(request: Request, here: Here, form: Form) -> Response:
    """Failures are counted with the API's own: ten a minute from one address, then it waits."""
    wanted, key = own_path(text_of(form, "next")), text_of(form, "key").strip()[:MOST_KEY]
    if not same_token(cookies.read(request, cookies.SIGN_IN), text_of(form, CSRF_FIELD), PURPOSE):
        return _form(request, wanted, "This form was too old. Try again; the browser must accept cookies.", 403)
    try:
        caller = admit(here, request, key)
    except Problem as problem:
        return _refused(request, wanted, problem)
    with here.database.write() as session:
        token = open_session(session, caller.key_id, here.now())
    log.info("signed_in", api_key_name=caller.name, scope=str(caller.scope))
    response = RedirectResponse(wanted, 303)
    cookies.put(request, response, cookies.SESSION, token)
    cookies.drop(request, response, cookies.SIGN_IN)
    return response


@router.post("/sign-out")
def sign_out(request: Request, here: Here, viewer: Anyone) -> Response:
    with here.database.write() as session:
        end_session(session, viewer.session)
    response = RedirectResponse("/sign-in", 303)
    cookies.drop(request, response, cookies.SESSION)
    return response


def _refused(request: Request, wanted: str, problem: Problem) -> Response:
    text = "This is not a valid key. It may be mistyped or revoked."
    if problem.status == 429:
        text = f"Too many failed attempts from this address: {problem.detail}."
    response = _form(request, wanted, text, problem.status if problem.status == 429 else 403)
    response.headers.update({name: value for name, value in problem.headers.items() if name == "Retry-After"})
    return response


def _form(request: Request, wanted: str, fault: str = "", status: int = 200) -> Response:
    token = cookies.read(request, cookies.SIGN_IN) or secrets.token_urlsafe(32)
    response = render(
        request, "sign_in.html", status,
        viewer=None, csrf=form_token(token, PURPOSE), wanted=own_path(wanted), fault=fault,
    )  # fmt: skip
    cookies.put(request, response, cookies.SIGN_IN, token)
    return response


def own_path(wanted: str) -> str:
    """A path of ours to go on to; anything that a browser could take for another site becomes `/`."""
    ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if ours and "\\" not in wanted else "/"
