"""Every error as RFC 9457 problem details, `application/problem+json`: what is wrong, where, and what to do.

`type` is a relative reference under `/problems/` that names the kind of error and may be tested for by a program;
`detail` is for people. What was sent is never repeated: it may hold numbers and names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from producer.api.request_id import REQUEST_ID, request_id_of
from producer.campaigns import CampaignError
from producer.quota import QuotaExceeded
from producer.readers import FileError

log = structlog.get_logger("drumline.api")

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 50
"""Places named in one answer."""


class Fault(BaseModel):
    """One wrong place: `pointer` (a JSON pointer into the body) or `parameter` (of path, query or header)."""

    detail: str = Field(examples=["Field required"])
    pointer: str | None = Field(default=None, examples=["#/recipients/3/phone"])
    parameter: str | None = Field(default=None, examples=["limit"])


class ProblemOut(BaseModel):
    """RFC 9457."""

    type: str = Field(examples=["/problems/invalid-request"])
    title: str = Field(examples=["The request is not valid"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["1 thing is wrong with the request, see `errors`"])
    request_id: str | None = Field(default=None, examples=["4f1c2f8e9a0b4c1d8e7f6a5b4c3d2e1f"])
    errors: list[Fault] | None = None


class Problem(Exception):
    """Ends the request with this answer. `kind` is the last part of `type`."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})


TITLES: Mapping[str, str] = {
    "unauthorized": "A valid API key is needed",
    "too-many-failures": "Too many failed log-ins from this address",
    "forbidden": "This API key may not do that",
    "not-found": "There is no such thing",
    "invalid-request": "The request is not valid",
    "invalid-file": "The file cannot be imported",
    "no-recipients": "There is nobody to send to",
    "quota-exceeded": "The API key's daily quota is used up",
    "method-not-allowed": "This address does not take that method",
    "conflict": "The present state does not allow that",
    "idempotency-conflict": "The Idempotency-Key belongs to another request",
    "in-progress": "The first request under this Idempotency-Key is still at work",
    "not-acceptable": "This address does not give what Accept asks for",
    "too-large": "The request is too large",
    "unsupported-media-type": "This content type is not understood",
    "unavailable": "Not possible at the moment",
    "internal": "Something went wrong here",
}


def problem_response(request: Request, problem: Problem) -> JSONResponse:
    """The answer for a problem."""
    body: dict[str, Any] = {
        "type": f"/problems/{problem.kind}",
        "title": TITLES.get(problem.kind) or HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "request_id": request_id_of(request.scope),
    }
    if problem.errors:
        body["errors"] = [fault.model_dump(exclude_none=True) for fault in problem.errors[:MOST_ERRORS]]
    return JSONResponse(body, problem.status, problem.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make problem details of everything that can go wrong."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(CampaignError, _on_campaign)
    app.add_exception_handler(FileError, _on_file)
    app.add_exception_handler(QuotaExceeded, _on_quota)
    app.add_exception_handler(ClientDisconnect, _on_gone)
    app.add_exception_handler(OperationalError, _on_database)
    app.add_exception_handler(PoolTimeout, _on_database)
    app.add_exception_handler(DBAPIError, _on_statement)
    app.add_exception_handler(Exception, _on_bug)


# --- errors to problems ----------------------------------------------------------------------------------------------


def of_campaign(error: CampaignError) -> Problem:
    """The use cases name the field; the field says which status fits."""
    match error.field:
        case "id":
            return Problem(404, "not-found", str(error))
        case "state" | "recipients":
            return Problem(409, "conflict", str(error))
        case field:
            return Problem(422, "invalid-request", str(error), errors=[Fault(detail=str(error), pointer=f"#/{field}")])


def of_file(error: FileError) -> Problem:
    places = [f"row {error.row}"] if error.row is not None else []
    places += [f"column {error.column}"] if error.column is not None else []
    fault = Fault(detail=error.text, parameter=", ".join(places) or None)
    return Problem(422, "invalid-file", f"{error} ({error.fault})", errors=[fault])


def _on_problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)  # noqa: S101 - registered for this class only
    return problem_response(request, error)


def _on_gone(request: Request, error: Exception) -> JSONResponse:
    """Nobody reads this answer."""
    log.info("client_gone", path=request.url.path)
    return problem_response(request, Problem(400, "invalid-request", "the body ended early"))


def _on_campaign(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CampaignError)  # noqa: S101 - as above
    return problem_response(request, of_campaign(error))


def of_quota(error: QuotaExceeded) -> Problem:
    return Problem(429, "quota-exceeded", str(error), headers={"Retry-After": str(error.retry_after)})


def _on_quota(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QuotaExceeded)  # noqa: S101 - as above
    return problem_response(request, of_quota(error))


def _on_file(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FileError)  # noqa: S101 - as above
    return problem_response(request, of_file(error))


def _on_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    faults = [_fault(item) for item in error.errors()]
    count = "1 thing is" if len(faults) == 1 else f"{len(faults)} things are"
    detail = f"{count} wrong with the request, see `errors`"
    return problem_response(request, Problem(422, "invalid-request", detail, errors=faults))


def _fault(item: Mapping[str, Any]) -> Fault:
    """Where and what, never the value."""
    place, *path = item["loc"]
    said = str(item["msg"])
    if item["type"] == "json_invalid":
        return Fault(detail=f"no valid JSON: {item['ctx']['error']} at character {path[0]}", pointer="#")
    if place == "body":
        return Fault(detail=said, pointer=pointer(path))
    return Fault(detail=said, parameter=str(path[0]) if path else str(place))


def pointer(path: Iterable[object]) -> str:
    """A JSON pointer as a URI fragment (RFC 6901)."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


_KINDS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
}


def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    kind = _KINDS.get(error.status_code, "invalid-request" if error.status_code < 500 else "internal")
    headers = dict(error.headers or {})
    if error.status_code == 405 and (allowed := methods_of(request.app, request.url.path)):
        headers["Allow"] = ", ".join(allowed)  # the router names only those of the first route at this address
    return problem_response(request, Problem(error.status_code, kind, str(error.detail), headers=headers))


def methods_of(app: FastAPI, path: str) -> list[str]:
    """What the address takes, by the document; of two that fit, the one with fewer parameters is meant."""
    fitting = [
        (len(convertors), [method.upper() for method in operations])
        for template, operations in app.openapi()["paths"].items()
        for regex, _, convertors in [compile_path(template)]
        if regex.match(path)
    ]
    return sorted(min(fitting)[1]) if fitting else []


def _on_database(request: Request, error: Exception) -> JSONResponse:
    log.error("database_unavailable", error=type(error).__name__, path=request.url.path)
    problem = Problem(503, "unavailable", "the database does not answer; try again", headers={"Retry-After": "5"})
    return problem_response(request, problem)


def _on_statement(request: Request, error: Exception) -> JSONResponse:
    """Logged without its text: a statement's parameters hold numbers and names."""
    log.error("statement_failed", error=type(error).__name__, path=request.url.path)
    return problem_response(request, Problem(500, "internal", "the database refused a statement; this is a bug"))


def _on_bug(request: Request, error: Exception) -> JSONResponse:
    """Runs outside every middleware, so the request id is put on here."""
    log.error("request_failed", error=type(error).__name__, path=request.url.path)
    answer = problem_response(request, Problem(500, "internal", "an unexpected error; quote the request id"))
    answer.headers[REQUEST_ID] = request_id_of(request.scope) or ""
    return answer


RESPONSES: dict[int, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}}
    for status, text in {
        400: "The body cannot be read",
        401: "No API key, or not a valid one",
        403: "The key's scope does not cover this",
        404: "Not there",
        406: "None of the kinds that Accept asks for is given here",
        409: "The present state, or the Idempotency-Key, does not allow it",
        413: "Larger than allowed",
        415: "A content type that is not understood",
        422: "Something in the request is wrong; `errors` says where",
        429: "Too many failed log-ins from this address, or the key's daily quota is used up; `Retry-After` says how "
        "long to wait",
        503: "Not possible now; `Retry-After` says when to try again",
    }.items()
}
"""For the OpenAPI document."""


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers with these statuses, for a route."""
    return {status: RESPONSES[status] for status in statuses}
