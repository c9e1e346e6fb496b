"""The doctor: every ailment has its finding and its remedy, and looking changes nothing."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from config.settings import Settings
from config.settings import settings as process_settings
from models.database import Database
from producer.cli import app
from producer.doctor import Finding, Verdict, all_well, check_accounts, check_settings, clock, read_probe
from producer.doctor_stores import check_database, check_redis, judge_redis
from producer.rooms import WorkersError, ask_workers
from tests.sandbox.qik import live
from tests.support.redis_server import EmbeddedRedis

GOOD = """
[accounts.main]
provider = "qikli"
base_url = "https://api.sms.qikli.com"
credentials = { username = "DOCTOR_USER", password = "DOCTOR_PASSWORD" }
limits = [{ limit = 10, per = "1s", counts = "requests" }]
"""
LOGIN = {"DOCTOR_USER": "sandbox", "DOCTOR_PASSWORD": "sandbox", "DOCTOR_KEY": "k", "DOCTOR_SECRET": "s"}


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    process_settings.cache_clear()
    yield
    process_settings.cache_clear()


def examined(folder: Path, toml: str, public_url: str = "https://sms.example.com") -> dict[str, Finding]:
    (folder / "accounts.toml").write_text(toml)
    settings = Settings(accounts_file=folder / "accounts.toml", public_url=public_url, state_dir=folder)
    findings, _ = check_accounts(settings)
    return {f"{finding.about}: {finding.verdict}": finding for finding in findings}


def one(findings: Mapping[str, Finding], about: str, verdict: Verdict) -> Finding:
    found = findings[f"{about}: {verdict}"]
    assert verdict is Verdict.OK or found.fix
    return found


# --- accounts --------------------------------------------------------------------------------------------------------


def test_a_good_account_is_found_well(tmp_path: Path) -> None:
    findings = examined(tmp_path, GOOD)
    assert list(findings) == ["main: ok"]


WRONG_ACCOUNTS = [
    (GOOD.replace("DOCTOR_USER", "DOCTOR_NOBODY"), "DOCTOR_NOBODY is not set"),
    (GOOD.replace('"qikli"', '"qikly"'), "expected one of"),
    (GOOD.replace(', password = "DOCTOR_PASSWORD"', ""), r"credentials.password: missing"),
    (GOOD + "options = { trakking = true }\n", "options.trakking"),
    (GOOD + 'timeout = "90s"\n', "not below the lease"),
    (GOOD + "colour = 1\n", "unknown key 'colour'"),
]


@pytest.mark.parametrize(("toml", "said"), WRONG_ACCOUNTS, ids=[said for _, said in WRONG_ACCOUNTS])
def test_a_wrong_account_is_named_with_its_remedy_and_hides_no_other(toml: str, said: str, tmp_path: Path) -> None:
    findings = examined(tmp_path, toml + GOOD.replace("accounts.main", "accounts.other"))
    assert said in one(findings, "main", Verdict.WRONG).said
    one(findings, "other", Verdict.OK)


@pytest.mark.parametrize("toml", [None, "not [toml", ""])
def test_a_file_that_cannot_be_read_is_one_finding(toml: str | None, tmp_path: Path) -> None:
    if toml is not None:
        (tmp_path / "accounts.toml").write_text(toml)
    findings, usable = check_accounts(Settings(accounts_file=tmp_path / "accounts.toml"))
    assert [finding.verdict for finding in findings] == [Verdict.WRONG]
    assert usable == {}


def test_an_account_without_limits_is_warned_of(tmp_path: Path) -> None:
    toml = GOOD.replace('limits = [{ limit = 10, per = "1s", counts = "requests" }]', "")
    assert "docs/providers/qikli.md" in one(examined(tmp_path, toml), "main", Verdict.WARNING).fix


QIKBERRY = """
[accounts.main]
provider = "qikberry"
base_url = "https://alerts.qikberry.com/api/v2/"
credentials = { access_token = "DOCTOR_KEY" }
options = { service = "T" }
"""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "submits leave"),
        ("poll_limits = []", "requests leave"),
        ('poll_limits = [{limit = 1, per = "1s"}]', "submits"),
    ],
)
def test_the_warning_of_no_limits_speaks_of_what_is_not_limited(tmp_path: Path, more: str, said: str) -> None:
    assert said in one(examined(tmp_path, QIKBERRY + more), "main", Verdict.WARNING).said


PUSHED = """
[accounts.push]
provider = "quicksms"
base_url = "https://api.quicksms.com"
credentials = { api_key = "DOCTOR_KEY" }
limits = [{ limit = 1000, per = "1m", counts = "requests" }]
"""
HOOK = 'webhook = { push = true, secret = "DOCTOR_SECRET" }\n'

WEBHOOKS = [
    (HOOK, "https://sms.example.com", Verdict.OK, "https://sms.example.com/v1/dlr/push"),
    (HOOK, "", Verdict.WRONG, "no public address"),
    (HOOK, "sms.example.com", Verdict.WRONG, "no address"),
    (HOOK, "http://sms.example.com", Verdict.WARNING, "plain HTTP"),
    (HOOK, "http://127.0.0.1:8000", Verdict.WARNING, "this machine's own"),
    ("webhook = { push = true }\n", "https://sms.example.com", Verdict.WRONG, "nothing would prove"),
    ("", "https://sms.example.com", Verdict.WARNING, "no webhook_url"),
]


@pytest.mark.parametrize(("webhook", "public", "verdict", "said"), WEBHOOKS, ids=[case[3] for case in WEBHOOKS])
def test_pushed_reports_need_an_address_and_a_proof(
    webhook: str, public: str, verdict: Verdict, said: str, tmp_path: Path
) -> None:
    assert said in one(examined(tmp_path, PUSHED + webhook, public), "push reports", verdict).said


CLIQTEL = """
[accounts.push]
provider = "cliqtel"
base_url = "https://cliqtel.com/api/v1/sms"
credentials = { api_key = "DOCTOR_KEY" }
limits = [{ limit = 60, per = "1m", counts = "requests" }]
webhook = { push = true }
"""
PROOFS = {
    "Cliqtel signs with the API key": (CLIQTEL, Verdict.OK),
    "by token alone": (CLIQTEL + 'options = { webhook_auth = "token" }\n', Verdict.WRONG),
    "QuickSMS's old API signs nothing": (
        PUSHED.replace("api_key", "username") + HOOK + 'options = { api = "v1" }\n', Verdict.WRONG
    ),
    "Qikli signs nothing": (GOOD.replace("accounts.main", "accounts.push") + HOOK, Verdict.WRONG),
}  # fmt: skip


@pytest.mark.parametrize(("toml", "verdict"), PROOFS.values(), ids=PROOFS)
def test_the_adapter_says_whether_a_push_can_be_proven(toml: str, verdict: Verdict, tmp_path: Path) -> None:
    toml = toml.replace('username = "DOCTOR_KEY"', 'username = "DOCTOR_KEY", password = "DOCTOR_SECRET"')
    found = [finding.said for finding in examined(tmp_path, toml).values() if finding.verdict is Verdict.WRONG]
    assert (
        [] if verdict is Verdict.OK else ["push is on, but nothing would prove that a push is genuine: all are refused"]
    ) == found


def test_a_login_is_asked_about_whatever_is_wrong_with_the_webhook(tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").write_text(PUSHED + "webhook = { push = true }\n")
    findings, usable = check_accounts(Settings(accounts_file=tmp_path / "accounts.toml", state_dir=tmp_path))
    assert Verdict.WRONG in {finding.verdict for finding in findings}
    assert list(usable) == ["push"]


# --- settings, disk --------------------------------------------------------------------------------------------------


def test_settings_tell_where_everything_is_and_whether_there_is_room(tmp_path: Path) -> None:
    findings = list(check_settings(Settings(state_dir=tmp_path / "not" / "there" / "yet")))
    assert {finding.about for finding in findings} == {"settings", "state folder", "disk"}
    assert all_well(findings)
    assert not (tmp_path / "not").exists()


# --- the database ----------------------------------------------------------------------------------------------------


def found(url: str) -> dict[str, Finding]:
    return {finding.about: finding for finding in check_database(url)}


def test_a_database_at_the_newest_schema_is_well_and_stays_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/d.db"
    database = Database(url)
    database.migrate()
    database.close()
    findings = found(url)
    assert set(findings) == {"database", "schema", "durability", "database disk", "writing"}
    assert {finding.verdict for finding in findings.values()} == {Verdict.OK}
    with sqlite3.connect(tmp_path / "d.db") as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'drumline_doctor'").fetchall()


def test_a_database_behind_the_schema_is_sent_to_migrate(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "d.db").execute("CREATE TABLE x (y)")
    schema = found(f"sqlite:///{tmp_path}/d.db")["schema"]
    assert schema.verdict is Verdict.WRONG
    assert "drumline migrate" in schema.fix


def test_a_database_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    findings = found(f"sqlite:///{tmp_path}/new/d.db")
    assert findings["database"].verdict is Verdict.WARNING
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "url", ["mysql://u:s3cr3t@h/d", "nonsense", "postgresql://u:s3cr3t-pass@127.0.0.1:1/d?connect_timeout=2"]
)
def test_a_database_that_cannot_be_used_is_told_without_its_password(url: str) -> None:
    database = found(url)["database"]
    assert database.verdict is Verdict.WRONG
    assert "s3cr3t" not in database.said + database.fix


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "d.db").write_bytes(b"this is not a database, but long enough to be looked at as one" * 20)
    assert found(f"sqlite:///{tmp_path}/d.db")["database"].verdict is Verdict.WRONG


# --- Redis -----------------------------------------------------------------------------------------------------------

WELL = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "role": "master", "aof_enabled": 1}
AILMENTS: list[tuple[dict[str, Any], str, Verdict]] = [
    ({"redis_version": "6.0.16"}, "redis", Verdict.WRONG),
    ({"redis_version": "5.0"}, "redis", Verdict.WRONG),
    ({"maxmemory_policy": "allkeys-lru"}, "redis eviction", Verdict.WRONG),
    ({"role": "slave"}, "redis role", Verdict.WRONG),
    ({"aof_enabled": 0}, "redis durability", Verdict.WARNING),
]


@pytest.mark.parametrize(("ailment", "about", "verdict"), AILMENTS, ids=str)
def test_a_redis_that_is_not_as_it_must_be_is_told(ailment: dict[str, Any], about: str, verdict: Verdict) -> None:
    findings = {finding.about: finding for finding in judge_redis(WELL | ailment)}
    assert findings[about].verdict is verdict
    assert findings[about].fix
    assert sum(finding.verdict is not Verdict.OK for finding in findings.values()) == 1


@pytest.mark.parametrize("version", ["6.2.0", "7.0.0", "10.1"])
def test_a_new_enough_redis_is_well(version: str) -> None:
    assert all(finding.verdict is Verdict.OK for finding in judge_redis(WELL | {"redis_version": version}))


def test_a_real_server_is_read(tmp_path: Path) -> None:
    with EmbeddedRedis() as server:
        assert {finding.verdict for finding in check_redis(server.url)} == {Verdict.OK}
    assert [finding.verdict for finding in check_redis(f"unix://{tmp_path}/nobody.sock")] == [Verdict.WRONG]
    assert [finding.verdict for finding in check_redis("")] == [Verdict.WARNING]


# --- clocks and probes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead", "verdict"), [(0.4, Verdict.OK), (-5.0, Verdict.OK), (6.0, Verdict.WARNING)])
def test_clocks_that_differ_are_told(ahead: float, verdict: Verdict) -> None:
    assert clock("x", "the other clock", ahead).verdict is verdict


def line(**changes: Any) -> dict[str, Any]:
    finding = {"about": "probe", "verdict": "ok", "said": "ok, login accepted"}
    return {"account": "a", "provider": "qikli", "charged": True, "findings": [finding], "clock": 0.1, **changes}


def test_a_probe_s_findings_are_the_doctor_s() -> None:
    assert [finding.verdict for finding in read_probe(line())] == [Verdict.OK, Verdict.OK]
    assert "not charged" in next(iter(read_probe(line(charged=False)))).said
    refused = {"about": "probe", "verdict": "wrong", "said": "HTTP 401"}
    (finding,) = read_probe(line(findings=[refused], clock=None))
    assert (finding.verdict, bool(finding.fix)) == (Verdict.WRONG, True)
    stopped = {"about": "probe", "verdict": "wrong", "said": "not asked: no_permit: breaker: x: 900 s"}
    (finding,) = read_probe(line(findings=[stopped], clock=None))
    assert "breaker lets one request through" in finding.fix


def test_a_program_of_the_workers_that_fails_says_why() -> None:
    with pytest.raises(WorkersError, match="No module named"):
        ask_workers("workers.no_such_module")
    with pytest.raises(WorkersError, match="no result within"):
        ask_workers("workers.probe", seconds=0.001)


# --- the command -----------------------------------------------------------------------------------------------------


async def test_the_command_ends_with_1_exactly_when_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live("qikli") as sandbox:
        bases: Any = sandbox.running.announcement()["base_urls"]
        (tmp_path / "accounts.toml").write_text(GOOD.replace("https://api.sms.qikli.com", bases["qikli"]))
        monkeypatch.setenv("DRUMLINE_ACCOUNTS_FILE", str(tmp_path / "accounts.toml"))
        monkeypatch.setenv("DRUMLINE_DATABASE_URL", f"sqlite:///{tmp_path}/d.db")
        monkeypatch.setenv("DRUMLINE_STATE_DIR", str(tmp_path))
        monkeypatch.delenv("DRUMLINE_REDIS_URL", raising=False)
        well = await asyncio.to_thread(CliRunner().invoke, app, ["doctor", "--json"])
        assert well.exit_code == 0, well.output
        report = json.loads(well.stdout)
        assert report["ok"] is True
        assert {"main", "main probe", "main clock", "database", "redis"} <= {f["about"] for f in report["findings"]}
        monkeypatch.setenv("DOCTOR_PASSWORD", "wrong")
        ill = await asyncio.to_thread(CliRunner().invoke, app, ["doctor", "main"])
        assert ill.exit_code == 1
        assert "WRONG" in ill.stdout
        unprobed = await asyncio.to_thread(CliRunner().invoke, app, ["doctor", "--no-probe"])
        assert unprobed.exit_code == 0
        assert "probe" not in unprobed.stdout
