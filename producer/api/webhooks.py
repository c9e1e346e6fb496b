"""Where providers push their reports: proved, stored, answered; read later.

No API key: every provider proves itself in its own way (`Provider.verify`). The answer is 2xx only when the push is in
the database, 5xx only when it could not be stored, so that a provider that tries again never loses a report; what comes
twice is stored twice and counted once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import structlog
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from config import names
from producer.api.context import Context, Here
from producer.api.inbox import NotStored
from producer.api.problems import Problem, responses
from providers.base import Forged, Genuine, Handshake, Provider, Push, Verdict

log = structlog.get_logger("drumline.webhooks")

router = APIRouter(prefix="/v1/dlr", tags=["webhooks"], responses=responses(401, 404, 413, 422, 503))

LONG = 32 * 1024  # bytes: verifying a longer body is left to a thread
TELL_EVERY = 10.0  # seconds between two log lines about forgeries at one account


@dataclass
class _Forgeries:
    """Tells of forged pushes without letting their sender fill the log."""

    _told: dict[str, float] = field(default_factory=dict)
    _untold: dict[str, int] = field(default_factory=dict)

    def tell(self, account: str, reason: str) -> None:
        now = time.monotonic()
        if now - self._told.get(account, -TELL_EVERY) < TELL_EVERY:
            self._untold[account] = self._untold.get(account, 0) + 1
            return
        self._told[account] = now
        log.warning("push_forged", account=account, reason=reason, others_since=self._untold.pop(account, 0))


_forgeries = _Forgeries()


@router.post("/{account}", summary="Delivery reports", response_class=Response)
@router.get("/{account}", summary="Delivery reports by GET", response_class=Response)
async def receive(account: str, request: Request, here: Here) -> Response:
    """A provider's push, signed its way."""
    return await _receive(here, account, None, request)


@router.post("/{account}/{token}", summary="Delivery reports at a secret address", response_class=Response)
@router.get("/{account}/{token}", summary="Delivery reports by GET at a secret address", response_class=Response)
async def receive_with_token(account: str, token: str, request: Request, here: Here) -> Response:
    """A provider's push to the address with the account's token."""
    return await _receive(here, account, token, request)


async def _receive(here: Context, account: str, token: str | None, request: Request) -> Response:
    # Read whatever the account: an unknown one takes as long as a known one.
    body = await request.body()
    provider = here.providers.get(account)
    if provider is None:
        raise Problem(404, "not-found", "there is no such address")
    push = Push(request.method, dict(request.headers), dict(request.query_params), body, token)
    verdict = await _verdict(here, provider, push)
    match verdict:
        case Forged(reason):
            _forgeries.tell(account, reason)
            raise Problem(401, "unauthorized", "the push is not proved to be the provider's")
        case Handshake(answer, status, content_type):
            return Response(answer, status, media_type=content_type)
        case Genuine(status, answer, content_type):
            await _store(here, account, request, body)
            here.bell.ring(names.APPLY_REPORTS, names.REPORTS_QUEUE)
            return Response(answer, status, media_type=content_type)


async def _verdict(here: Context, provider: Provider, push: Push) -> Verdict:
    if len(push.body) > LONG:
        return await run_in_threadpool(provider.verify, push, here.now())
    return provider.verify(push, here.now())


async def _store(here: Context, account: str, request: Request, body: bytes) -> None:
    row = {
        "account": account,
        "kind": "push",
        "received_at": here.now(),
        "content_type": request.headers.get("content-type", "")[:100].replace("\0", ""),
        "query": request.url.query.replace("\0", ""),
        "body": body,
    }
    try:
        await here.inbox.store(row)
    except NotStored as error:
        raise Problem(503, "unavailable", "not stored; send it again", headers={"Retry-After": "5"}) from error
