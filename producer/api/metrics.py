"""Metrics for Prometheus. They name accounts and counts, never numbers or texts; a key of scope read is enough."""

from __future__ import annotations

from fastapi import Response

from producer.api.access import Reader, guarded_router
from producer.api.context import Here
from producer.metrics import render

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = guarded_router("health", prefix="")


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
def metrics(here: Here, caller: Reader) -> Response:
    """For Prometheus: `authorization: { credentials: dk_… }` in its scrape configuration."""
    with here.database.read() as session:
        return Response(render(session, here.now()), media_type=CONTENT_TYPE)
