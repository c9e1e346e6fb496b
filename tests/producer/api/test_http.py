"""What every request and answer have in common: problems, names, limits, headers; health; the document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisGone
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from models.database import Database
from tests.producer.api.desk import Desk, campaign, open_desk, people


async def test_every_error_is_problem_details_with_the_request_id(desk: Desk) -> None:
    asked = [
        desk.read.get("/nowhere"),
        desk.read.get("/v1/campaigns/no-uuid"),
        desk.read.patch("/v1/campaigns"),
        desk.read.get("/v1/campaigns", params={"limit": "0"}),
        desk.submit.post("/v1/campaigns", content=b"{", headers={"Content-Type": "application/json"}),
        desk.submit.post("/v1/campaigns", content=b"\xff", headers={"Content-Type": "application/json"}),
        desk.submit.post("/v1/campaigns", content=b"name=x", headers={"Content-Type": "text/plain"}),
        desk.submit.post("/v1/campaigns", content=b"[" * 100_000, headers={"Content-Type": "application/json"}),
        desk.nobody.get("/v1/campaigns"),
    ]
    for asking in asked:
        answer = await asking
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem.keys() >= {"type", "title", "status", "detail", "request_id"}
        assert (problem["status"], problem["request_id"]) == (answer.status_code, answer.headers["x-request-id"])


async def test_what_was_sent_is_never_repeated_in_an_error(desk: Desk) -> None:
    body = campaign(recipients=[{"phone": "+447700900123", "name": {"a": "s3cr3t-name"}}], priority="s3cr3t-word")
    answer = await desk.submit.post("/v1/campaigns", json=body)
    assert answer.status_code == 422
    assert "s3cr3t" not in answer.text
    assert "7700900123" not in answer.text


async def test_a_request_id_is_taken_over_if_it_is_fit_for_a_log(desk: Desk) -> None:
    given = await desk.nobody.get("/healthz", headers={"X-Request-Id": "shop-17.a:b"})
    assert given.headers["x-request-id"] == "shop-17.a:b"
    for unfit in ("a b", "x" * 65, "<script>", ""):
        made = (await desk.nobody.get("/healthz", headers={"X-Request-Id": unfit})).headers["x-request-id"]
        assert made != unfit
        assert len(made) == 32


async def test_a_bug_is_a_500_that_tells_nothing_but_its_request_id(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("s3cr3t detail")

    monkeypatch.setattr("producer.api.campaigns.known", broken)
    answer = await desk.read.get("/v1/campaigns/00000000-0000-0000-0000-000000000000")
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "s3cr3t" not in answer.text


async def test_a_database_that_is_away_is_a_503_to_be_tried_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("SELECT s3cr3t", {}, Exception("no connection"))

    monkeypatch.setattr("producer.api.access.find_key", away)
    answer = await desk.read.get("/v1/campaigns")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "s3cr3t" not in answer.text


async def test_a_body_over_the_limit_is_refused(database: Database, tmp_path: Path) -> None:
    async with open_desk(database, tmp_path, max_body=2000) as desk:
        answer = await desk.submit.post("/v1/campaigns", json=campaign(recipients=people(50)))
        assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
        assert (await desk.submit.post("/v1/campaigns", json=campaign())).status_code == 201


async def test_every_answer_carries_the_security_headers(desk: Desk) -> None:
    for answer in (await desk.nobody.get("/healthz"), await desk.nobody.get("/v1/campaigns")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "strict-transport-security" not in answer.headers  # plain HTTP
    secure = await desk.nobody.get("https://drumline.test/healthz")
    assert secure.headers["strict-transport-security"] == "max-age=31536000"


# --- health ----------------------------------------------------------------------------------------------------------


async def test_up_is_up_whatever_else_is_down(desk: Desk) -> None:
    desk.redis_down.append(RedisGone("gone"))
    assert (await desk.nobody.get("/healthz")).json() == {"status": "ok", "checks": {}}


async def test_ready_means_database_schema_and_redis(desk: Desk) -> None:
    ready = await desk.nobody.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]) == (200, {"database": "ok", "redis": "ok"})
    desk.redis_down.append(RedisGone("gone"))
    not_ready = await desk.nobody.get("/readyz")
    assert (not_ready.status_code, not_ready.json()["checks"]["redis"]) == (503, "does not answer")


async def test_a_schema_of_another_version_is_not_ready(desk: Desk) -> None:
    with desk.database.write() as session:
        version = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    answer = await desk.nobody.get("/readyz")
    with desk.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
    assert answer.status_code == 503
    assert "migrations" in answer.json()["checks"]["database"]


# --- the document ----------------------------------------------------------------------------------------------------


async def test_the_document_describes_every_answer_it_promises(desk: Desk) -> None:
    document = (await desk.nobody.get("/openapi.json")).json()
    assert "ProblemOut" in document["components"]["schemas"]
    tags = {tag["name"] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert set(operation["tags"]) <= tags, path
            assert operation["summary"], path
            if path.startswith("/v1/") and "dlr" not in path:
                assert operation["security"] == [{"ApiKey": []}], (method, path)
                assert {"401", "403", "422"} <= operation["responses"].keys(), (method, path)
    assert '"#/components/schemas/HTTPValidationError"' not in str(document)


async def test_every_reference_in_the_document_leads_somewhere(desk: Desk) -> None:
    document = desk.app.openapi()
    schemas = document["components"]["schemas"]

    def references(value: object) -> list[str]:
        match value:
            case dict():
                own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
                return own + [found for item in value.values() for found in references(item)]
            case list():
                return [found for item in value for found in references(item)]
        return []

    found = set(references(document))
    assert len(found) > 10
    assert {reference.removeprefix("#/components/schemas/") for reference in found} <= schemas.keys()


async def test_the_documents_examples_are_taken_by_the_api(desk: Desk) -> None:
    schemas = desk.app.openapi()["components"]["schemas"]
    for path, schema in (("/v1/campaigns", "CampaignIn"), ("/v1/campaigns/preview", "PreviewIn"),
                         ("/v1/suppressions", "SuppressionsIn")):  # fmt: skip
        answer = await desk.submit.post(path, json=schemas[schema]["examples"][0])
        assert answer.status_code in (200, 201), answer.text


# --- the page of the documentation -----------------------------------------------------------------------------------


async def test_the_page_needs_nothing_from_elsewhere(desk: Desk) -> None:
    page = await desk.nobody.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) == 4
    assert "//" not in page.text  # no address with a host, however it is written
    for address in named:
        found = await desk.nobody.get(f"/{address}")
        assert found.status_code == 200, address
        assert found.headers["x-content-type-options"] == "nosniff"
    started = (await desk.nobody.get("/docs/start.js")).text
    assert "//" not in started
    assert "validatorUrl: null" in started
    assert (await desk.nobody.get("/openapi.json")).status_code == 200


async def test_the_page_may_load_scripts_from_here_alone_and_holds_none_itself(desk: Desk) -> None:
    page = await desk.nobody.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert "http" not in page.headers["content-security-policy"]
    assert re.findall(r"<script[^>]*>(.*?)</script>", page.text) == ["", ""]
    assert not re.search(r"\son\w+=", page.text)


async def test_the_documentation_can_be_left_out(database: Database, tmp_path: Path) -> None:
    async with open_desk(database, tmp_path, docs=False) as desk:
        for path in ("/docs", "/docs/start.js", "/docs/assets/swagger-ui.css", "/openapi.json", "/redoc"):
            assert (await desk.nobody.get(path)).status_code == 404, path
