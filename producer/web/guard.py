"""Who may open which page: a session, an origin that is ours, and in every form the session's own token."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from producer.api.access import Caller, require
from producer.api.context import Context, context_of
from producer.api.problems import Problem
from producer.keys import Scope, touch
from producer.sessions import TOUCH_EVERY, SignedIn, find_session, form_token, same_token, touch_session
from producer.web import cookies
from producer.web.faults import as_page

CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"
MOST_FIELDS = 400
SAFE_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Viewer(Caller):
    """Somebody signed in. `csrf` goes into every form; `session` is the digest of the cookie."""

    csrf: str
    session: str

    def may(self, scope: str) -> bool:
        """For templates: what is not allowed is not shown."""
        return self.scope.covers(Scope(scope))


class OpenRoute(APIRoute):
    """A page for everybody. A post must come from a page of ours; what goes wrong is told as a page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            return await as_page(request, self.checked(handler))

        return answered

    def checked(
        self, handler: Callable[[Request], Coroutine[Any, Any, Response]]
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def enter(request: Request) -> Response:
            check_origin(request)
            return await handler(request)

        return enter


class UploadRoute(OpenRoute):
    """A page that nobody sees without a session. The token of its form is read on the way, by whoever streams the form
    (`check_given`)."""

    def checked(
        self, handler: Callable[[Request], Coroutine[Any, Any, Response]]
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def enter(request: Request) -> Response:
            return await handler(request) if await admitted(request) else to_sign_in(request)

        return enter


class PageRoute(UploadRoute):
    """A page that nobody sees without a session, and no form of it works without the session's token."""

    def checked(
        self, handler: Callable[[Request], Coroutine[Any, Any, Response]]
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def with_token(request: Request) -> Response:
            if request.method not in SAFE_METHODS:
                await check_token(request)
            return await handler(request)

        return super().checked(with_token)


def page_router() -> APIRouter:
    """A router of which every route is a page that needs a session."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def open_router() -> APIRouter:
    return APIRouter(route_class=OpenRoute, include_in_schema=False)


def upload_router() -> APIRouter:
    return APIRouter(route_class=UploadRoute, include_in_schema=False)


async def admitted(request: Request) -> bool:
    """Whether somebody is signed in; then they are the request's caller. Raises Problem for a foreign origin."""
    viewer = await run_in_threadpool(viewer_of, request)
    if viewer is None:
        return False
    request.state.caller = viewer
    structlog.contextvars.bind_contextvars(api_key_name=viewer.name)
    check_origin(request)
    return True


def viewer_of(request: Request) -> Viewer | None:
    """Who is signed in, or None. Notes at most once a minute that they were here."""
    here, token = context_of(request), cookies.read(request, cookies.SESSION)
    if not token:
        return None
    now = here.now()
    with here.database.read() as session:
        found = find_session(session, token, now)
    if found is None:
        return None
    if now - found.seen_at >= TOUCH_EVERY:
        with here.database.write() as session:
            _touch(session, found, here)
    return Viewer(found.key_id, found.name, found.scope, form_token(token), found.digest)


def _touch(session: Session, found: SignedIn, here: Context) -> None:
    touch_session(session, found.digest, here.now())
    touch(session, found.key_id, here.now())


def to_sign_in(request: Request) -> Response:
    """To the sign-in page, and from there back to where a reader wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?next={quote(wanted, safe='')}" if request.method in SAFE_METHODS and wanted != "/" else ""
    response = RedirectResponse(f"/sign-in{back}", 303)
    cookies.drop(request, response, cookies.SESSION)
    return response


def check_origin(request: Request) -> None:
    """A post comes from a page of ours, or it is refused: browsers say where it comes from, and pages cannot lie.

    Raises Problem 403.
    """
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site not in {"same-origin", "none"} or not _ours(request):
        raise Problem(403, "forbidden", "this form was not sent from a page of this dashboard; nothing was done")


def _ours(request: Request) -> bool:
    said = request.headers.get("origin") or request.headers.get("referer") or ""
    public = context_of(request).settings.public_url
    hosts = {request.headers.get("host", ""), urlsplit(public).netloc if public else ""} - {""}
    return urlsplit(said).netloc in hosts


async def check_token(request: Request) -> None:
    """The form's token must be the session's. Raises Problem 403."""
    given = request.headers.get(CSRF_HEADER)
    check_given(request, text_of(await form_of(request), CSRF_FIELD) if given is None else given)


def check_given(request: Request, given: str) -> None:
    """As `check_token`, of a form that was read already."""
    if not same_token(cookies.read(request, cookies.SESSION), given):
        raise Problem(403, "forbidden", "this form is too old or is not ours; open the page again and repeat it")


async def form_of(request: Request) -> FormData:
    """The request's form, read once."""
    return await request.form(max_fields=MOST_FIELDS, max_files=1)


def text_of(form: FormData, name: str) -> str:
    """A field's text; empty: it is not there, or is a file."""
    value = form.get(name)
    return value if isinstance(value, str) else ""


Anyone = Annotated[Viewer, Depends(require(Viewer, Scope.READ))]
Operator = Annotated[Viewer, Depends(require(Viewer, Scope.SUBMIT))]
Chief = Annotated[Viewer, Depends(require(Viewer, Scope.ADMIN))]
Form = Annotated[FormData, Depends(form_of)]
