"""The sandbox's own machinery: limits, outcomes, time, reports, control API and the command line."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.limits import Counts, Limiter, Window, retry_after
from sandbox.outcomes import Outcome, draw
from sandbox.settings import Settings, SettingsError
from sandbox.text import encoding_and_parts
from tests.sandbox.lab import Lab, Receiver, open_lab

QUICK = {"Authorization": "Bearer sk_live_sandbox"}


async def quick(lab: Lab, number: str = "447700900001", **more: Any) -> Any:
    body = {"MSISDN": number, "msg": "Hi", "sender": "MyStore"} | more
    return await lab.ask("POST", "/quicksms/v1/messages", json=body, headers=QUICK)


# -- limits ------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 4)), min_size=1, max_size=60),
    st.integers(4, 9),
    st.integers(500, 4000),
)
def test_no_interval_of_any_alignment_ever_holds_more_than_the_limit(
    steps: list[tuple[int, int]], limit: int, per: int
) -> None:
    # Whole milliseconds: sums of floats would differ from the limiter's own in the last bit.
    limiter = Limiter([Window(limit, per, Counts.MESSAGES)])
    now, admitted = 0, []
    for pause, cost in steps:
        now += pause
        if limiter.admit(now, "POST", cost) == 0:
            admitted.append((now, cost))
    for end, _ in admitted:
        assert sum(cost for at, cost in admitted if end - per < at <= end) <= limit


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60), st.integers(1, 5))
def test_whoever_waits_as_told_is_admitted(pauses: list[float], limit: int) -> None:
    limiter = Limiter([Window(limit, 3.0), Window(2, 1.0, Counts.MESSAGES)])
    now = 0.0
    for pause in pauses:
        now += pause
        wait = limiter.admit(now, "POST", 1)
        if wait > 0:
            now += float(retry_after(wait))
            assert limiter.admit(now, "POST", 1) == 0


def test_a_window_for_one_method_lets_the_others_pass() -> None:
    limiter = Limiter([Window(1, 60, methods=("GET",))])
    assert [limiter.admit(0, "GET", 0) > 0 for _ in range(2)] == [False, True]
    assert limiter.admit(0, "POST", 1) == 0


def test_a_refused_request_fills_no_window() -> None:
    limiter = Limiter([Window(10, 60), Window(1, 1, Counts.MESSAGES)])
    for _ in range(5):
        limiter.admit(0, "POST", 1)
    standing = limiter.standing(0)
    assert standing is not None
    assert standing.remaining == 9


# -- outcomes, texts, settings -----------------------------------------------------------------------------------------


def test_the_mix_is_drawn_by_weight_and_replays_with_its_seed() -> None:
    mix = {"delivered": 8.0, "expired": 2.0}
    drawn = [draw(mix, rng) for rng in [Random(7)] for _ in range(5000)]
    assert drawn == [draw(mix, rng) for rng in [Random(7)] for _ in range(5000)]
    assert 0.77 < drawn.count(Outcome.DELIVERED) / 5000 < 0.83


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("GSM-7", 1)),
        ("[" * 80, ("GSM-7", 1)),
        ("[" * 81, ("GSM-7", 2)),
        ("ç", ("UCS-2", 1)),
        ("é" * 160, ("GSM-7", 1)),
    ],
)
def test_parts_follow_the_gsm_alphabet(text: str, expected: tuple[str, int]) -> None:
    assert encoding_and_parts(text) == expected


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"no_such": 1}, "no_such"),
        ({"push": "yes"}, "push"),
        ({"price": "dear"}, "price"),
        ({"dlr_delay": [2, 1]}, "dlr_delay"),
        ({"mix": {"lost": 1}}, "mix"),
        ({"limits": [{"limit": 1}]}, "limits"),
    ],
)
def test_a_wrong_switch_is_named_and_nothing_changes(changes: dict[str, Any], named: str) -> None:
    settings = Settings()
    with pytest.raises(SettingsError, match=named):
        settings.update({"currency": "USD"} | changes)
    assert settings == Settings()


# -- control API -------------------------------------------------------------------------------------------------------


async def test_control_answers_mistakes_with_400_and_a_reason(lab: Lab) -> None:
    for path, body in [
        ("/config", {"nobody": {}}),
        ("/config", {"quicksms": {"no_such": 1}}),
        ("/faults", {"quicksms": [{"kind": "gremlin"}]}),
        ("/faults", {"quicksms": [{"kind": "throttle", "match": {"moon": 1}}]}),
        ("/config", {"quicksms": {"anti_flood": "perhaps"}}),
        ("/config", {"cliqtel": {"signature": "none"}}),
        ("/faults", {"quicksms": [{"kind": "malformed", "params": {"variant": "odd"}}]}),
        ("/clock", {"advance": -1}),
        ("/inbound", {"provider": "quicksms"}),
    ]:
        answer = await lab.ask("POST", f"/_sandbox{path}", json=body)
        assert (answer.status, bool(answer.json()["error"])) == (400, True), path
    assert (await lab.ask("POST", "/_sandbox/config", data=b"{")).status == 400
    assert (await lab.ask("GET", "/_sandbox/nowhere")).status == 404
    assert (await lab.ask("GET", "/nobody/here")).status == 404
    assert (await lab.ask("GET", "/_sandbox/healthz")).json() == {"status": "ok"}


async def test_the_ledger_keeps_what_was_accepted_in_order(lab: Lab) -> None:
    for n in range(3):
        await quick(lab, f"44770090010{n}", customer_id=f"c-{n}")
    entries = await lab.ledger("quicksms")
    assert [entry["ref"] for entry in entries] == ["c-0", "c-1", "c-2"]
    assert {entry["truth"] for entry in entries} == {"delivered"}
    tail = await lab.ask("GET", "/_sandbox/ledger?provider=quicksms&from=2")
    assert orjson.loads(tail.body)["ref"] == "c-2"


async def test_a_second_acceptance_of_one_reference_is_counted_as_a_duplicate(lab: Lab) -> None:
    for reference in ("c-1", "c-1", "c-2"):
        await quick(lab, customer_id=reference)
    counts = await lab.counts("quicksms")
    assert (counts["accepted"], counts["duplicates"]) == (3, 1)


async def test_the_arrival_log_shows_time_cost_and_admission(lab: Lab) -> None:
    await lab.config("quicksms", limits=[{"limit": 1, "per_seconds": 60}])
    await quick(lab)
    await quick(lab)
    arrivals = (await lab.control("/arrivals?provider=quicksms", method="GET"))["arrivals"]["quicksms"]
    assert [(account, method, messages, admitted) for _, account, method, messages, admitted in arrivals] == [
        ("sk_live_sandbox", "POST", 1, True),
        ("sk_live_sandbox", "POST", 1, False),
    ]
    assert arrivals[0][0] <= arrivals[1][0]


async def test_limits_scale_and_are_kept_per_account(lab: Lab) -> None:
    keys = {"sk_live_sandbox": "active", "sk_live_other": "active"}
    await lab.config("quicksms", keys=keys, limits=[{"limit": 10, "per_seconds": 60}], limit_scale=0.2)
    assert [(await quick(lab)).status for _ in range(3)] == [202, 202, 429]
    body = {"MSISDN": "447700900001", "msg": "Hi", "sender": "MyStore"}
    other = await lab.ask("POST", "/quicksms/v1/messages", json=body, headers={"Authorization": "Bearer sk_live_other"})
    assert (other.status, other.headers["X-RateLimit-Limit"]) == (202, "2")


async def test_reset_forgets_messages_windows_faults_and_plans_but_keeps_settings(lab: Lab) -> None:
    await lab.config("quicksms", price=0.5)
    await lab.faults("quicksms", {"kind": "throttle", "match": {"msisdn": "0009"}})
    await quick(lab)
    await lab.control("/reset")
    stats = await lab.control("/stats", method="GET")
    assert (stats["pending_outcomes"], stats["providers"]["quicksms"]["accepted"]) == (0, 0)
    assert (await lab.control("/faults", method="GET"))["quicksms"] == []
    assert (await lab.control("/config", method="GET"))["quicksms"]["price"] == 0.5


async def test_outcomes_come_due_with_the_clock_and_settle_takes_the_rest(lab: Lab) -> None:
    await lab.config("quicksms", dlr_delay=[100, 100])
    await quick(lab)
    await lab.advance(99)
    assert (await lab.ledger("quicksms"))[0]["final_at"] is None
    await lab.advance(2)
    assert (await lab.ledger("quicksms"))[0]["final_at"] is not None
    await quick(lab)
    assert (await lab.control("/settle"))["settled"] == 1
    assert [entry["status"] for entry in await lab.ledger("quicksms")] == ["DELIVERED", "DELIVERED"]


async def test_outcomes_come_by_themselves_without_any_control_call(lab: Lab, receiver: Receiver) -> None:
    arrived = asyncio.Event()
    receiver.on_hook = arrived.set
    await lab.config("quicksms", dlr_delay=0.02, callback_url=receiver.url)
    await quick(lab)
    await asyncio.wait_for(arrived.wait(), 5)
    assert receiver.hooks[0].json()["message_status"] == "DELIVERED"


async def test_push_can_be_switched_off(lab: Lab, receiver: Receiver) -> None:
    await lab.config("quicksms", push=False, callback_url=receiver.url)
    await quick(lab)
    await lab.settle()
    assert receiver.hooks == []
    assert (await lab.ledger("quicksms"))[0]["final_at"] is not None


async def test_the_same_seed_gives_the_same_ledger() -> None:
    async def run(seed: int) -> list[tuple[str, str]]:
        async with open_lab(seed=seed) as lab:
            await lab.config("quicksms", mix={"delivered": 1, "expired": 1, "rejected": 1})
            for n in range(30):
                await quick(lab, f"4477009001{n:02d}")
            return [(entry["id"], entry["truth"]) for entry in await lab.ledger("quicksms")]

    first, again, other = await run(5), await run(5), await run(6)
    assert first == again
    assert first != other


async def test_texts_can_be_left_out_of_the_ledger(lab: Lab) -> None:
    await lab.config("quicksms", keep_text=False)
    await quick(lab)
    assert (await lab.ledger("quicksms"))[0]["text"] == "(2 characters)"


# -- command line ------------------------------------------------------------------------------------------------------


async def start(tmp_path: Path, *arguments: str) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox", "--ready-file", str(tmp_path / "ready.json"), *arguments,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    return process, orjson.loads(await asyncio.wait_for(process.stdout.readline(), 20))


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_announces_itself_and_ends_cleanly(tmp_path: Path, ending: signal.Signals) -> None:
    process, announced = await start(tmp_path)
    root = f"http://127.0.0.1:{announced['port']}"
    try:
        assert announced["control"] == f"{root}/_sandbox"
        assert announced["base_urls"]["quicksms"] == f"{root}/quicksms"
        assert announced["base_urls"]["cliqtel"] == f"{root}/cliqtel/api/v1/sms"
        assert orjson.loads((tmp_path / "ready.json").read_bytes()) == announced
    finally:
        os.kill(process.pid, ending)
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_the_configuration_file_wins_over_the_common_switches(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.toml"
    file.write_text('[quicksms]\ndlr_delay = [0.2, 0.4]\nkeys = { sk_live_mine = "active" }\n')
    process, announced = await start(tmp_path, "--fast", "--no-limits", "--config", str(file))
    try:
        async with aiohttp.ClientSession() as session, session.get(announced["control"] + "/config") as answer:
            config = await answer.json()
    finally:
        process.terminate()
        await process.wait()
    assert (config["quicksms"]["dlr_delay"], config["quicksms"]["limits"]) == ([0.2, 0.4], [])
    assert config["quicksms"]["keys"] == {"sk_live_mine": "active"}
    assert (config["cliqtel"]["dlr_delay"], config["cliqtel"]["retry_scale"]) == ([0.05, 0.05], 0.001)


async def test_a_wrong_configuration_file_is_named_and_nothing_starts(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.toml"
    file.write_text("[quicksms]\nno_such = 1\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox", "--config", str(file), stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert b"quicksms: unknown setting no_such" in stderr
