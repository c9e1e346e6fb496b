"""Campaigns over HTTP: made, filled, steered, looked at."""

from __future__ import annotations

from config import names
from tests.producer.api.desk import Desk, campaign, people


async def test_a_campaign_with_recipients_starts_at_once_and_wakes_the_dispatcher(desk: Desk) -> None:
    answer = await desk.submit.post("/v1/campaigns", json=campaign(recipients=people(3), start=True))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["state"], made["rows_accepted"], made["counts"]) == ("running", 3, {"queued": 3})
    desk.app.state.context.bell.close()
    assert desk.rung == [(names.DISPATCH, names.CONTROL_QUEUE)]
