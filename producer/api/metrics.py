"""Metrics for Prometheus. They name accounts and counts, never numbers or texts; a key of scope read is enough."""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from producer.api.access import BEARER, authenticate, given_key
from producer.api.context import Here, part_of
from producer.api.problems import responses
from producer.metrics import Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["health"], dependencies=[BEARER], responses=responses(401, 429, 503))


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(here: Here, request: Request) -> Response:
    """For Prometheus: `authorization: { credentials: … }` in its scrape configuration, with DRUMLINE_METRICS_TOKEN or
    an API key of any scope."""
    token = here.settings.metrics_token
    wanted = token.get_secret_value().encode() if token else b""
    if not wanted or not hmac.compare_digest(given_key(request).encode(), wanted):
        await run_in_threadpool(authenticate, request)
    found = part_of(request, "metrics", Metrics)
    return Response(await run_in_threadpool(found.render, here.now), media_type=CONTENT_TYPE)
