"""What goes wrong on a page is told as a page: what it was and what to do, never a program's insides."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from models.database import PASSING_ERRORS
from producer.api.problems import TITLES, Problem, of_campaign
from producer.campaigns import CampaignError
from producer.web.render import render

log = structlog.get_logger("drumline.web")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


async def as_page(request: Request, handler: Handler) -> Response:
    """The handler's answer, or a page that says what is wrong. What nobody expected goes on to the API's handler."""
    try:
        return await handler(request)
    except Problem as problem:
        return fault_page(request, problem)
    except CampaignError as error:
        return fault_page(request, of_campaign(error))
    except RequestValidationError:
        return fault_page(request, Problem(404, "not-found", "the address of this page is not one of ours"))
    except HTTPException as error:
        return fault_page(request, Problem(error.status_code, "invalid-request", str(error.detail)))
    except (DBAPIError, PoolTimeout) as error:
        log.error("page_failed", error=type(error).__name__, path=request.url.path)
        return fault_page(request, _of_database(error))


def _of_database(error: Exception) -> Problem:
    if isinstance(error, PASSING_ERRORS):
        return Problem(503, "unavailable", "the database does not answer; try again in a moment")
    return Problem(500, "internal", "the database refused a statement; this is a fault of ours")


def fault_page(request: Request, problem: Problem) -> Response:
    viewer = getattr(request.state, "caller", None)
    title = TITLES.get(problem.kind) or HTTPStatus(problem.status).phrase
    response = render(
        request, "fault.html", problem.status, viewer=viewer, title=title, problem=problem,
        request_id=getattr(request.state, "request_id", None),
    )  # fmt: skip
    response.headers.update(problem.headers)
    return response
