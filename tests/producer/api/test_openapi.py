"""The API keeps what its OpenAPI document promises, whatever it is sent: schemathesis tries, with a key of each scope.

Nothing is left to chance: fixed seeds, no store of earlier examples, a bounded number of cases. The clock stands still,
so that a slow machine finds what a quick one does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from starlette.concurrency import run_in_threadpool

from models.database import Database
from tests.producer.api.desk import Desk, open_desk, people

PHASES: dict[str, dict[str, Any]] = {
    "read": {"examples": 2, "coverage": False, "stateful": False},
    "submit": {"examples": 2, "coverage": False, "stateful": False},
    "admin": {"examples": 2, "coverage": True, "stateful": True},
}
"""Each scope may do what those before it may: the whole programme needs to be run once only."""


@pytest.fixture
async def open_door(database: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    """No address is ever throttled: every case would be a 429 soon. And something to be looked at."""
    async with open_desk(database, tmp_path, failed_logins=1_000_000) as desk:
        await desk.draft(recipients=people(3), start=True)
        await desk.submit.post("/v1/templates/welcome", json={"text": "Hi {{ name }}"})
        yield desk


def configured(key: str, examples: int, coverage: bool, stateful: bool) -> SchemathesisConfig:
    given: dict[str, Any] = {
        "headers": {"Authorization": f"Bearer {key}"},
        "generation": {"deterministic": True, "database": "none", "max-examples": examples, "no-shrink": True},
        "phases": {"coverage": {"enabled": coverage}, "stateful": {"enabled": stateful}},
        "checks": {
            # A name that no account has, a time that is past, a state that forbids it: no schema can say these.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "406", "409", "422", "429"]},
        },
        "seed": 1,
    }
    return SchemathesisConfig.from_dict(given)


def run(desk: Desk, scope: str) -> tuple[int, dict[str, str]]:
    """How many requests were made, and what was wrong: the check and the place, with the first case that showed it."""
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", desk.app, config=configured(desk.keys[scope], **PHASES[scope])
    )
    requests, found = 0, dict[str, str]()
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished():
                requests += len(event.recorder.interactions)
                for case_id, checks in event.recorder.checks.items():
                    for check in checks:
                        if check.failure_info is not None:
                            failure = check.failure_info.failure
                            label = event.recorder.cases[case_id].value.operation.label
                            found.setdefault(f"{label}: {check.name}", f"{failure}\n{check.failure_info.code_sample}")
            case events.NonFatalError() | events.FatalError():
                found.setdefault(f"error {getattr(event, 'label', '')}", str(getattr(event, "info", event)))
    return requests, found


@pytest.mark.parametrize("scope", list(PHASES))
async def test_the_api_keeps_its_document(open_door: Desk, scope: str) -> None:
    requests, found = await run_in_threadpool(run, open_door, scope)
    assert not found, "\n\n".join(f"{place}\n{shown}" for place, shown in sorted(found.items()))
    assert requests > 100
