"""monitoring/: Prometheus accepts it, every alert is tested and explained, the dashboard is well formed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from config.settings import ROOT

MONITORING = ROOT / "monitoring"
RULES = MONITORING / "prometheus" / "rules" / "drumline.yml"
TESTS = MONITORING / "prometheus" / "tests" / "drumline.test.yml"
DASHBOARD = MONITORING / "grafana" / "dashboards" / "drumline.json"
OPERATIONS = ROOT / "docs" / "operations.md"


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text("utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def names_in(query: str) -> set[str]:
    """Metrics of ours in a query, and the process's own."""
    return set(re.findall(r"\b(?:drumline|process)_\w+", query))


def promtool(*arguments: str) -> None:
    found = shutil.which("promtool")
    assert found, "promtool is part of Debian's package prometheus"
    done = subprocess.run([found, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# --- Prometheus ------------------------------------------------------------------------------------------------------


def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    """With its paths as they are in the container: the rules there, and a token in the file."""
    text = (MONITORING / "prometheus" / "prometheus.yml").read_text("utf-8")
    (tmp_path / "token").write_text("x")
    local = text.replace("/etc/prometheus", str(MONITORING / "prometheus")).replace(
        "/tmp/metrics_token", str(tmp_path / "token")
    )
    (tmp_path / "prometheus.yml").write_text(local, "utf-8")
    promtool("check", "config", str(tmp_path / "prometheus.yml"))


def test_prometheus_accepts_the_rules() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))


def test_every_alert_fires_when_it_must_and_is_quiet_when_it_must() -> None:
    promtool("test", "rules", str(TESTS))
    tested = [test["name"] for test in yaml.safe_load(TESTS.read_text("utf-8"))["tests"]]
    assert sorted(tested) == sorted(f"{rule['alert']} {end}" for rule in rules() for end in ("fires", "is quiet"))


def headings() -> set[str]:
    found = re.findall(r"^#+ (.+)$", OPERATIONS.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("rule", rules(), ids=[rule["alert"] for rule in rules()])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    said = rule["annotations"]
    page, _, heading = said["runbook_url"].partition("#")
    assert (ROOT / page) == OPERATIONS
    assert heading in headings()
    assert len(said["description"]) > 40
    assert "." not in said["summary"].replace("{{ $labels.", "").rstrip()
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert "for" in rule


# --- Grafana ---------------------------------------------------------------------------------------------------------


def test_panels_have_ids_and_places_of_their_own() -> None:
    every = dashboard()["panels"]
    ids = [panel["id"] for panel in every]
    assert sorted(ids) == list(range(1, len(ids) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in every:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_panels_take_their_data_from_the_variable_and_say_what_they_show() -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        assert panel["datasource"] == source
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] in {"table", "state-timeline"}
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        assert all(target["datasource"] == source for target in panel["targets"])


def test_the_variables_are_there_and_the_provisioned_source_is_their_default() -> None:
    variables = {variable["name"]: variable for variable in dashboard()["templating"]["list"]}
    assert set(variables) == {"datasource", "account"}
    assert variables["datasource"]["type"] == "datasource"
    used = set(re.findall(r"\$\{?(\w+)", DASHBOARD.read_text("utf-8"))) - {"__rate_interval", "__range", "__all"}
    assert used == set(variables)
    text = (MONITORING / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text("utf-8")
    (source,) = yaml.safe_load(text)["datasources"]
    assert source["uid"] == variables["datasource"]["current"]["value"]
    assert source["url"] == "http://prometheus:9090"


def test_the_provisioning_finds_the_dashboard_where_compose_mounts_it() -> None:
    text = (MONITORING / "grafana" / "provisioning" / "dashboards" / "drumline.yml").read_text("utf-8")
    (provider,) = yaml.safe_load(text)["providers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    mounts = {mount["target"]: mount["source"] for mount in compose["services"]["grafana"]["volumes"]}
    assert ROOT / mounts[provider["options"]["path"]] == DASHBOARD.parent


@pytest.mark.parametrize(
    "wanted",
    ["Funnel", "Rate against the allowance", "Outcomes", "Errors by code", "Windows used", "Breaker",
     "Oldest due batch", "Unknown outcomes", "Report lag", "Time to answer"],
)  # fmt: skip
def test_the_dashboard_shows(wanted: str) -> None:
    assert [panel for panel in panels() if panel["title"].startswith(wanted)]


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """As recording rules: that is how promtool parses queries without a server."""
    queries = [query.replace("$__rate_interval", "5m").replace("$__range", "1h") for query in dashboard_queries()]
    record = [{"record": f"test:query:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": record}]}), "utf-8")
    promtool("check", "rules", str(path))
