"""Who may do what: API keys, checked before a byte of the body is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from models.msisdn import Msisdn
from models.personal import ERASED_NUMBER
from producer.api.context import Context, context_of
from producer.api.problems import Problem, responses
from producer.api.strict_json import StrictRequest, check_media_type
from producer.keys import Scope, find_key, touch, wants_touch

log = structlog.get_logger("drumline.api")


@dataclass(frozen=True, slots=True)
class Caller:
    """The key behind a request."""

    key_id: UUID
    name: str
    scope: Scope

    def number(self, msisdn: str) -> str:
        """A number as this caller may see it in a list; `(erased)` after retention."""
        if not msisdn:
            return ERASED_NUMBER
        return msisdn if self.scope.covers(Scope.SUBMIT) else Msisdn(msisdn).masked()

    @property
    def sees_texts(self) -> bool:
        return self.scope.covers(Scope.SUBMIT)


class GuardedRoute(APIRoute):
    """A route that nobody enters without a key. In the route, not in a dependency: FastAPI reads and parses the body
    before it asks any dependency."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            request.state.caller = await run_in_threadpool(authenticate, request)
            named = {"api_key_name": request.state.caller.name}
            if campaign := request.path_params.get("campaign_id"):
                named["campaign"] = str(campaign)[:36]
            with structlog.contextvars.bound_contextvars(**named):
                if self.body_field is None:
                    return await handler(request)
                strict = StrictRequest(request.scope, request.receive)
                check_media_type(strict, await strict.body())
                return await handler(strict)

        return guarded


BEARER = Security(
    HTTPBearer(auto_error=False, scheme_name="ApiKey", description="A key made by `drumline keys create`, `dk_…`")
)


def guarded_router(tag: str, prefix: str = "/v1") -> APIRouter:
    """A router of which every route needs a key."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=GuardedRoute,
        dependencies=[BEARER],
        responses=responses(401, 403, 422, 429, 503),
    )


def authenticate(request: Request) -> Caller:
    """The caller, or a Problem: 401 without saying what is wrong with the key, 429 after too many of those."""
    return admit(context_of(request), request, given_key(request))


def admit(here: Context, request: Request, key: str) -> Caller:
    """The caller that this key names, or a Problem as `authenticate`. The dashboard's sign-in asks here too."""
    address = request.client.host if request.client else ""
    wait = here.throttle.wait(address, key)
    if wait > 0:
        headers = {"Retry-After": str(math.ceil(wait))}
        raise Problem(429, "too-many-failures", f"wait {math.ceil(wait)} seconds", headers=headers)
    caller = _look_up(here, key) if key else None
    if caller is None:
        here.throttle.failed(address, key)
        log.warning("login_failed", address=address, prefix=key[3:13] if key.startswith("dk_") else "")
        headers = {"WWW-Authenticate": 'Bearer realm="drumline"'}
        raise Problem(401, "unauthorized", "send `Authorization: Bearer dk_…` with a valid key", headers=headers)
    here.throttle.succeeded(address, key)
    return caller


def given_key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip()[:200] if scheme.lower() == "bearer" else ""


def _look_up(here: Context, key: str) -> Caller | None:
    now = here.now()
    with here.database.read() as session:
        row = find_key(session, key)
    if row is None:
        return None
    if wants_touch(row, now):
        with here.database.write() as session:
            touch(session, row.id, now)
    return Caller(row.id, row.name, Scope(row.scope))


Kind = TypeVar("Kind", bound=Caller)


def require(kind: type[Kind], needed: Scope) -> Callable[[Request], Kind]:
    """A dependency: whom the route let in (of this kind), if their key's scope covers `needed`. Raises Problem 403."""

    def caller(request: Request) -> Kind:
        found = request.state.caller
        if not isinstance(found, kind):
            raise TypeError("the route is not guarded")
        if not found.scope.covers(needed):
            raise Problem(403, "forbidden", f"this needs a key of scope {needed}; yours has {found.scope}")
        return found

    return caller


Reader = Annotated[Caller, Depends(require(Caller, Scope.READ))]
Submitter = Annotated[Caller, Depends(require(Caller, Scope.SUBMIT))]
Admin = Annotated[Caller, Depends(require(Caller, Scope.ADMIN))]
