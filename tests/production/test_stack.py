"""Every service of docker-compose.yml, started by its own command line, sends a campaign; then what is seen of it.

One stack for all: metrics, alerts and dashboard queries against a real Prometheus, Flower, logs and traces of one
campaign with faults. No number and no text may be in any of them.
"""

from __future__ import annotations

import base64
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from models.queries import NOT_FINAL
from tests.production.compose_file import seconds
from tests.production.receiver import Received, Receiver
from tests.production.running import Production, tree
from tests.production.test_monitoring import dashboard_queries, names_in, rules
from tests.support.postgres_server import EmbeddedPostgres

pytestmark = [pytest.mark.timeout(300)]

SECRETS = {
    "POSTGRES_PASSWORD": "pg-kettle-drum",
    "REDIS_PASSWORD": "rd-snare-drum",
    "METRICS_TOKEN": "mt-bass-drum",
    "GRAFANA_PASSWORD": "gf-tenor-drum",
    "DRUMLINE_FLOWER_PASSWORD": "fl-side-drum",
    "QIKLI_PASSWORD": "sandbox",
    "QUICKSMS_API_KEY": "sk_live_sandbox",
    "QUICKSMS_WEBHOOK_SECRET": "quicksms-webhook-secret",
    "CLIQTEL_API_KEY": "17|sandbox",
    "QIKBERRY_ACCESS_TOKEN": "qb_sandbox",
    "WEBHOOK_TOKEN": "wt-frame-drum",
}
SETTINGS = {
    "DRUMLINE_COMPOSE_ACCOUNTS": "./config/accounts.compose.toml",
    "DRUMLINE_PUBLIC_URL": "http://api:8000",
    "QIKLI_USERNAME": "sandbox",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
}
WORKERS = ("worker-control", "worker-qikli", "worker-quicksms", "worker-cliqtel", "worker-qikberry")
LONG_RUNNING = ("redis", "sandbox", "api", *WORKERS, "beat", "flower", "prometheus")
PEOPLE = [f"+44770090{number:04d}" for number in range(100, 148)]
WORD = "Zephyrine"  # in every text, and nowhere else
# Never the first request of an account: that is the breaker's probe, and the test would wait for its cool-down.
FAULTS = {
    "qikli": [
        {"kind": "throttle", "count": 1, "match": {"method": "POST"}},
        {"kind": "error_before", "count": 1, "match": {"method": "GET"}},  # a spoiled page would take its reports along
    ],
    "quicksms": [
        {"kind": "drop_after", "every": 5, "count": 2, "match": {"method": "POST"}},
        {"kind": "throttle", "every": 4, "count": 1, "match": {"method": "POST"}},
        {"kind": "error_after", "every": 7, "count": 1, "params": {"body": "html"}},
    ],
    "qikberry": [{"kind": "error_before", "count": 2, "match": {"path": "*status*"}}],
    "cliqtel": [{"kind": "drop_before", "every": 4, "count": 1, "match": {"method": "POST"}}],
}


class Sent:
    """A stack that has sent the campaign: what came of it."""

    def __init__(self, stack: Production, receiver: Receiver) -> None:
        self.stack = stack
        self.receiver = receiver
        self.key = stack.execute("api", "keys", "create", "shop", "--scope", "submit").splitlines()[-1]
        self.campaign = ""

    def ask(self, method: str, path: str, body: object = None, port: str = "8000", login: str = "") -> bytes:
        """One request to a service. Raises urllib.error.HTTPError."""
        request = urllib.request.Request(
            self.stack.url(port) + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": login or f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return bytes(answer.read())

    def send(self) -> None:
        self.ask("POST", "/_sandbox/faults", FAULTS, port="8900")
        order = {
            "name": "Under test",
            "sender": "Drumline",
            "template": f"{WORD} {{{{ name }}}}, your parcel is here",
            "route": {"qikli": 1, "quicksms": 1, "qikberry": 1, "cliqtel": 1},
            "recipients": [{"phone": phone, "name": f"Name{phone[-3:]}"} for phone in PEOPLE],
            "start": True,
        }
        self.campaign = json.loads(self.ask("POST", "/v1/campaigns", order))["id"]
        deadline = time.monotonic() + 90
        while not self._nearly_over():
            assert time.monotonic() < deadline, self._counts()
            time.sleep(0.3)

    def _counts(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self.ask("GET", f"/v1/campaigns/{self.campaign}"))["counts"]
        return found

    def _nearly_over(self) -> bool:
        """All have left; some outcomes are still unknown, as the faults wanted it."""
        counts = self._counts()
        open_now = sum(counts.get(state, 0) for state in NOT_FINAL)
        return bool(open_now <= 6 and counts.get("delivered", 0) >= 36)

    def metrics(self) -> str:
        return self.ask("GET", "/metrics", login=f"Bearer {SECRETS['METRICS_TOKEN']}").decode()


def with_short_intervals(path: Path, api_port: int) -> None:
    """Prometheus's own file, asking every half second, and without a name server."""
    document = yaml.safe_load(path.read_text("utf-8"))
    document["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    (job,) = document["scrape_configs"]
    assert job.pop("dns_sd_configs") == [{"names": ["api"], "type": "A", "port": api_port}]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{api_port}"]}]
    path.write_text(yaml.safe_dump(document), "utf-8")


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedPostgres) -> Iterator[Sent]:
    folder = tmp_path_factory.mktemp("stack")
    with Receiver() as receiver:
        variables = {**SETTINGS, **SECRETS, "DRUMLINE_TRACING_ENDPOINT": receiver.url}
        with Production(folder, postgres_server, variables) as stack:
            assert stack.healthy("postgres")
            stack.start("redis")
            stack.until_healthy(["redis"])
            assert stack.finish("migrate") == 0, stack.logs()["migrate"]
            stack.start("sandbox", "api", *WORKERS, "beat", "flower")
            stack.until_healthy(LONG_RUNNING[:-1])
            _start_prometheus(stack)
            made = Sent(stack, receiver)
            made.send()
            yield made


def _start_prometheus(stack: Production) -> None:
    stack.service("prometheus")  # makes its files
    config = stack.folder / "bound" / "prometheus" / "prometheus" / "prometheus.yml"
    with_short_intervals(config, stack.ports["8000"])
    stack.start("prometheus")
    stack.until_healthy(["prometheus"])


# --- the services ----------------------------------------------------------------------------------------------------


def test_every_service_is_healthy_by_its_own_check(sent: Sent) -> None:
    assert [name for name in LONG_RUNNING if not sent.stack.healthy(name)] == []


def test_no_service_writes_anywhere_but_to_its_volumes(sent: Sent) -> None:
    """The kernel refuses it, and nobody even tried: a refusal would be in a log."""
    assert tree(sent.stack.app) == sent.stack.before
    refused = re.compile(r"Permission denied|Read-only file system|EACCES|EROFS")
    assert [name for name, text in sent.stack.logs().items() if refused.search(text)] == []


def test_a_worker_that_is_stopped_is_found_unhealthy(sent: Sent) -> None:
    """The sign of life of a name that nobody has."""
    with pytest.raises(AssertionError, match="no sign of life"):
        sent.stack.execute("worker-control", "alive", "--name", "nobody")


def test_a_worker_for_a_group_that_nobody_has_says_which_there_are(sent: Sent) -> None:
    with pytest.raises(AssertionError, match="'acme' is neither an account nor a group; known are cliqtel, qikberry"):
        sent.stack.execute("worker-control", "worker", "--group", "acme", "--no-control")


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_every_metric_that_rules_and_dashboard_name_is_there(sent: Sent) -> None:
    told = set(re.findall(r"^# TYPE (\w+) ", sent.metrics(), re.M))
    wanted = {name for query in [*dashboard_queries(), *(rule["expr"] for rule in rules())] for name in names_in(query)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in wanted}
    assert families - told == set()
    assert len(wanted) > 25


def submitted(text: str) -> dict[str, float]:
    found = re.finditer(r'^drumline_messages_submitted_total{account="(\w+)"} (\S+)', text, re.M)
    return {match[1]: float(match[2]) for match in found}


def test_the_campaign_is_in_the_metrics(sent: Sent) -> None:
    """A few seconds later: every process adds what it counted every five seconds."""
    deadline = time.monotonic() + 30
    while sum(submitted(text := sent.metrics()).values()) < 40 or 'status="429"} 1.0' not in text:
        assert time.monotonic() < deadline, text
        time.sleep(0.5)
    assert set(submitted(text)) == {"qikli", "quicksms", "cliqtel", "qikberry"}
    assert sum(submitted(text).values()) <= len(PEOPLE)
    assert re.search(r'drumline_import_rows_total{result="accepted"} 48', text)
    assert 'route="/v1/campaigns/{campaign_id}"' in text
    assert re.search(r'drumline_report_apply_delay_seconds_count{account="quicksms"} [1-9]', text)


def test_metrics_need_the_token_or_a_key(sent: Sent) -> None:
    assert sent.ask("GET", "/metrics")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        sent.ask("GET", "/metrics", login="Bearer wrong")


def test_no_number_and_no_text_is_in_the_metrics(sent: Sent) -> None:
    assert leaks(sent.metrics()) == []


def prometheus(sent: Sent, path: str) -> Any:
    return json.loads(sent.ask("GET", path, port="9090"))["data"]


def test_prometheus_reads_the_api_with_its_token_and_has_every_rule(sent: Sent) -> None:
    deadline = time.monotonic() + 20
    while [t["health"] for t in prometheus(sent, "/api/v1/targets")["activeTargets"]] != ["up"]:
        assert time.monotonic() < deadline, prometheus(sent, "/api/v1/targets")
        time.sleep(0.2)
    groups = prometheus(sent, "/api/v1/rules")["groups"]
    found = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert set(found) == {rule["alert"] for rule in rules()}
    while [rule for rule in found.values() if rule["health"] == "unknown"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        found = {r["name"]: r for group in prometheus(sent, "/api/v1/rules")["groups"] for r in group["rules"]}
    assert {rule["health"] for rule in found.values()} == {"ok"}


def test_every_query_of_the_dashboard_is_understood_and_most_have_something_to_show(sent: Sent) -> None:
    shown = 0
    for query in dashboard_queries():
        asked = query.replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$account", ".*")
        quoted = urllib.request.quote(asked)  # type: ignore[attr-defined]  # re-exported from urllib.parse
        shown += bool(prometheus(sent, f"/api/v1/query?query={quoted}")["result"])
    assert shown > len(dashboard_queries()) * 0.7


# --- Flower ----------------------------------------------------------------------------------------------------------


FLOWER = "Basic " + base64.b64encode(f"operator:{SECRETS['DRUMLINE_FLOWER_PASSWORD']}".encode()).decode()


def test_flower_wants_its_password(sent: Sent) -> None:
    for login in ("Basic " + base64.b64encode(b"operator:wrong").decode(), "Bearer x"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            sent.ask("GET", "/api/tasks", port="5555", login=login)


def test_flower_shows_readable_tasks_and_nothing_personal(sent: Sent) -> None:
    """Names, arguments, results and whatever else the events carry."""
    listed = sent.ask("GET", "/api/tasks?limit=100000", port="5555", login=FLOWER).decode()
    tasks = json.loads(listed)
    named = {task["name"] for task in tasks.values() if task["name"]}
    assert {"submit.batch", "reports.apply", "campaigns.dispatch", "accounts.snapshot"} <= named
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", name) for name in named)
    assert leaks(listed) == []
    page = sent.ask("GET", "/tasks", port="5555", login=FLOWER).decode()
    assert leaks(page) == []


def test_flower_keeps_its_history_on_the_volume(sent: Sent) -> None:
    command = sent.stack.running["flower"]
    deadline, path = time.monotonic() + 30, sent.stack.volume("state") / "flower.db"
    while not list(path.parent.glob("flower.db*")):
        assert time.monotonic() < deadline, command.log.read_text("utf-8")
        time.sleep(0.3)
    kept = b"".join(file.read_bytes() for file in path.parent.glob("flower.db*"))
    assert leaks(kept.decode("latin-1")) == []


# --- logs ------------------------------------------------------------------------------------------------------------


def leaks(text: str, secrets: bool = True) -> list[str]:
    """Numbers, words of the texts and secrets that are in it."""
    digits = [phone[1:] for phone in PEOPLE]
    hidden = [value for value in SECRETS.values() if value != "sandbox"] if secrets else []
    return [found for found in (WORD, *digits, *hidden) if found in text]


def test_no_number_no_text_and_no_secret_is_in_any_log(sent: Sent) -> None:
    logs = sent.stack.logs()
    assert {name: found for name, text in logs.items() if (found := leaks(text, name != "prometheus"))} == {}
    assert "sandbox" in logs


def test_the_faults_are_in_the_logs(sent: Sent) -> None:
    """Otherwise the scan above has looked at nothing."""
    events = {line["event"] for line in log_lines(sent, WORKERS)}
    assert events & {"poll_failed", "poll_refused", "report_page_unreadable"}


def log_lines(sent: Sent, names: tuple[str, ...]) -> list[dict[str, Any]]:
    logs = sent.stack.logs()
    lines = [line for name in names for line in logs[name].splitlines() if line.strip()]
    return [json.loads(line) for line in lines]


def test_every_line_of_our_services_is_json_with_time_level_and_name(sent: Sent) -> None:
    """Flower has a form of its own, and says next to nothing. `drumline migrate` is a command that answers a person."""
    lines = log_lines(sent, ("api", *WORKERS, "beat"))
    assert lines
    assert [line for line in lines if not {"event", "level", "timestamp"} <= set(line)] == []


def test_lines_say_what_they_belong_to(sent: Sent) -> None:
    """Of the workers every line of a task names it; of the API every line of a request names that."""
    polls = [line for line in log_lines(sent, WORKERS) if line["logger"] in {"drumline.poll", "drumline.inbox"}]
    assert polls
    assert all(line["task"] in {"reports.poll", "reports.apply"} and line["task_id"] for line in polls)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        sent.ask("GET", "/v1/campaigns", login="Bearer dk_wrong")
    refused = [line for line in log_lines(sent, ("api",)) if line["event"] == "login_failed"]
    assert refused
    assert all(line["request_id"] for line in refused)


# --- traces ----------------------------------------------------------------------------------------------------------


def ways(sent: Sent) -> list[list[str]]:
    """From each submit up to the root of its trace, by the spans' names."""
    spans = {(span.trace, span.id): span for span in list(sent.receiver.spans)}
    found = []
    for submit in sent.receiver.named("submit request"):
        way: list[str] = []
        span: Received | None = submit
        while span is not None:
            way.append(span.name)
            span = spans.get((span.trace, span.parent))
        found.append(way)
    return found


def test_one_trace_leads_from_the_dispatch_to_the_submit(sent: Sent) -> None:
    """And from the API request before it, where that woke the dispatcher and not beat's tick in the same moment."""
    wanted = ["submit request", "batch", "dispatch"]
    deadline = time.monotonic() + 20
    while not (leading := [way for way in ways(sent) if way[:3] == wanted]):
        assert time.monotonic() < deadline, ways(sent)
        time.sleep(0.2)
    assert all(way[3:] in ([], ["API request"]) for way in leading)


def test_spans_tell_account_batch_count_and_status(sent: Sent) -> None:
    submits = sent.receiver.named("submit request")
    for span in submits:
        assert {"drumline.account", "drumline.batch", "drumline.messages"} <= set(span.attributes)
    assert {200, 201} & {span.attributes.get("http.response.status_code") for span in submits}
    (batch, *_) = sent.receiver.named("batch")
    assert batch.attributes["drumline.campaign"] == sent.campaign


def test_every_kind_of_work_has_its_span(sent: Sent) -> None:
    names = {span.name for span in sent.receiver.spans}
    assert {
        "API request",
        "import",
        "dispatch",
        "batch",
        "submit request",
        "poll",
        "poll request",
        "apply reports",
    } <= names


def test_no_number_no_text_and_no_secret_is_in_any_span(sent: Sent) -> None:
    assert leaks("\n".join(span.whole for span in sent.receiver.spans)) == []


# --- the end ---------------------------------------------------------------------------------------------------------


def test_told_to_end_every_service_does_so_within_its_grace(sent: Sent) -> None:
    """Last: in the order in which Compose would."""
    stopped = {name: sent.stack.end(name) for name in reversed(LONG_RUNNING)}
    allowed = {0, -15, 143}  # uvicorn and Flower end by the signal they were sent
    assert {name: code for name, (code, _) in stopped.items() if code not in allowed} == {}
    for name, (_, took) in stopped.items():
        assert took < seconds(sent.stack.specs[name].get("stop_grace_period", "10s")), name
