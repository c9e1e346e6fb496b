"""The API process: `uvicorn producer.api.app:app`, or `create_app` with everything handed in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from redis import Redis
from starlette.middleware.cors import CORSMiddleware

from config import tracing
from config.accounts import Account, load_accounts
from config.logging import configure_logging
from config.nudges import Nudges
from config.prices import load_prices
from config.settings import Settings, settings
from models.database import Database
from producer.api import accounts as account_routes
from producer.api import (
    campaigns,
    event_endpoints,
    exports,
    figures,
    health,
    inbound,
    keys,
    messages,
    metrics,
    preview,
    reports,
    steering,
    suppressions,
    templates,
    uploads,
    webhooks,
)
from producer.api.bell import Bell
from producer.api.context import Context
from producer.api.docs_page import add_docs
from producer.api.inbox import Inbox
from producer.api.middleware import BodyLimit, SecurityHeaders, body_limit
from producer.api.options import ApiOptions, read_options
from producer.api.posting import Answered, replayed
from producer.api.problems import Problem, ProblemOut, install, problem_response
from producer.api.request_id import REQUEST_ID, RequestIds
from producer.api.throttle import LoginThrottle
from producer.api.timed import HttpTimes, Timed
from producer.api.traced import Traced
from producer.idempotency import LostClaim
from producer.metrics import Metrics
from producer.web.dashboard import add_dashboard
from producer.web.live import ends_with_the_server
from providers.accounts import open_provider
from providers.base import Provider

VERSION = "1.0"
DESCRIPTION = """Bulk SMS campaigns through several providers. Every request needs `Authorization: Bearer dk_…`; every
POST takes an `Idempotency-Key`; every error is `application/problem+json` (RFC 9457)."""
TAGS = [
    {"name": "campaigns", "description": "Make, fill, steer and watch campaigns."},
    {"name": "schedule", "description": "What is to come: times, retries, recurring campaigns."},
    {"name": "messages", "description": "What became of each message."},
    {"name": "figures", "description": "Costs, errors and outcomes."},
    {"name": "templates", "description": "Named texts with versions; a campaign pins one."},
    {"name": "suppressions", "description": "Numbers that must not be written to."},
    {"name": "accounts", "description": "The providers' accounts, their limits and their health."},
    {"name": "reports", "description": "Delivery reports: what they did, and those without a message."},
    {"name": "events", "description": "Who is told of events by a signed POST."},
    {"name": "keys", "description": "API keys and their quotas; for admins."},
    {"name": "webhooks", "description": "Where providers push delivery reports; they prove themselves their own way."},
    {"name": "health", "description": "For load balancers and orchestrators."},
]

_ROUTES = (
    preview,
    campaigns,
    steering,
    uploads,
    messages,
    inbound,
    exports,
    figures,
    reports,
    suppressions,
    templates,
    account_routes,
    event_endpoints,
    keys,
    webhooks,
    health,
    metrics,
)


def create_app(
    configured: Settings,
    database: Database,
    accounts: Mapping[str, Account],
    providers: Mapping[str, Provider],
    *,
    nudge: Callable[..., object],
    options: ApiOptions | None = None,
    now: Callable[[], datetime] | None = None,
    clock: Callable[[], float] = time.monotonic,
    ping_redis: Callable[[], None] | None = None,
) -> FastAPI:
    """An app of these parts. `nudge` sends a job; `clock` is for what passes, `now` for what is written down."""
    chosen = options or read_options()
    context = Context(
        settings=configured,
        options=chosen,
        database=database,
        accounts=accounts,
        providers=providers,
        now=now or database.now,
        ping_redis=ping_redis or (lambda: _ping(configured.redis_url)),
        bell=Bell(nudge),
        inbox=Inbox(database),
        throttle=LoginThrottle(chosen.failed_logins, clock),
        uploads=asyncio.Semaphore(chosen.uploads_at_once),
        prices=load_prices(configured.prices_file),
    )
    app = FastAPI(
        title="Drumline",
        version=VERSION,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=_lifespan,
        docs_url=None,  # FastAPI's own page fetches its scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json" if chosen.docs else None,
        separate_input_output_schemas=False,
    )
    app.state.context = context
    for module in _ROUTES:
        app.include_router(module.router)
    if chosen.docs:
        add_docs(app)
    add_dashboard(app)
    install(app)
    app.add_exception_handler(Answered, _on_answered)
    app.add_exception_handler(LostClaim, _on_lost)
    app.add_middleware(BodyLimit, limit=body_limit(chosen))
    app.add_middleware(SecurityHeaders)
    times = HttpTimes()
    app.state.metrics = Metrics(database, accounts, configured, VERSION, times.registry)
    app.add_middleware(Timed, times=times)
    if tracing.on:
        app.add_middleware(Traced)
    app.add_middleware(RequestIds)
    _allow_origins(app, chosen.cors_origins)
    _describe_problems(app)
    return app


def _allow_origins(app: FastAPI, origins: str) -> None:
    """Off by default. Keys travel in a header, never in a cookie: credentials stay disallowed."""
    allowed = [origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip()]
    if allowed:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=allowed,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", REQUEST_ID],
            expose_headers=[REQUEST_ID, "Retry-After", "Idempotent-Replayed"],
        )


def _on_answered(request: Request, error: Exception) -> Response:
    assert isinstance(error, Answered)  # noqa: S101 - registered for this class only
    return replayed(error.stored)


def _on_lost(request: Request, error: Exception) -> Response:
    problem = Problem(409, "in-progress", "another request took this key over", headers={"Retry-After": "2"})
    return problem_response(request, problem)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context = app.state.context
    with ends_with_the_server(app.state.live):
        yield
    await context.inbox.close()
    await asyncio.to_thread(context.bell.close)
    await asyncio.to_thread(tracing.stop)
    context.database.close()


def _describe_problems(app: FastAPI) -> None:
    """Put the problem's schema into the document: the responses only refer to it."""
    generate = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            shape = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(shape.pop("$defs", {}))
            schemas["ProblemOut"] = shape
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way to change the document


def _ping(url: str) -> None:
    with Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
        client.ping()


def from_environment() -> FastAPI:
    """The app of this process's settings. Raises SettingsError, AccountsError, DatabaseError or ValueError."""
    from config.celery_app import app as celery  # made on import: not before the settings are known

    configured = settings()
    configure_logging(configured.log_format, configured.log_level)
    if configured.tracing_endpoint:
        from config import tracing_celery  # its context goes on to the tasks that the API wakes

        tracing.start(configured, "api")
        tracing_celery.connect()
    accounts = load_accounts(configured.accounts_file)
    providers = {name: open_provider(account, configured.public_url) for name, account in accounts.items()}
    database = Database(configured.database_url)
    return create_app(configured, database, accounts, providers, nudge=Nudges(celery))


def __getattr__(name: str) -> FastAPI:
    """`app` is made on first use, so that importing this module needs no environment."""
    if name != "app":
        raise AttributeError(name)
    made = from_environment()
    globals()["app"] = made
    return made
