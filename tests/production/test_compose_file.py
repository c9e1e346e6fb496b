"""docker-compose.yml keeps its word: no default secret, every service confined, watched and limited."""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import Any

import pytest

from config.accounts import load_accounts
from config.settings import ROOT, Settings
from producer.services.stack import groups
from tests.production.compose_file import (
    COMPOSE,
    MissingVariable,
    interpolate,
    raw,
    seconds,
    services,
    size,
    variables_named,
)

SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "METRICS_TOKEN", "GRAFANA_PASSWORD", "DRUMLINE_FLOWER_PASSWORD")
GIVEN = {name: f"{name.lower()}-value" for name in SECRETS}
ONE_SHOTS = {"migrate"}
DATA = {"postgres", "redis"}
KEYS = {
    "image", "build", "user", "init", "read_only", "tmpfs", "cap_drop", "security_opt", "restart", "logging",
    "env_file", "environment", "volumes", "networks", "depends_on", "stop_grace_period", "deploy", "healthcheck",
    "command", "entrypoint", "ports", "profiles", "shm_size",
}  # fmt: skip
"""Of the Compose specification, the service keys that the file may use: a misspelt key is an error there."""
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period", "disable"}
ALL = services(GIVEN)
each = pytest.mark.parametrize("name", ALL)


def test_the_services_that_production_needs_are_there() -> None:
    assert {"postgres", "redis", "migrate", "api", "worker-control", "beat", "flower", "sandbox", "prometheus",
            "grafana"} < set(ALL)  # fmt: skip
    assert set(raw()) - {name for name in raw() if name.startswith("x-")} == {"services", "networks", "volumes"}


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_has_a_default(name: str) -> None:
    with pytest.raises(MissingVariable, match=name):
        services({**GIVEN, name: ""})
    mentions = re.findall(rf"\${{{name}[^}}]*}}", COMPOSE.read_text("utf-8"))
    assert mentions
    assert all(":?" in mention for mention in mentions)


def test_every_variable_of_the_file_is_explained_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    assert {name for name in variables_named() if not re.search(rf"^#?{name}=", example, re.M)} == set()
    filled = re.findall(r"^#?(\w*(?:PASSWORD|TOKEN|SECRET|API_KEY)\w*)=(.+)$", example, re.M)
    assert filled == []


@each
def test_a_service_uses_keys_of_the_specification_alone(name: str) -> None:
    service = ALL[name]
    assert set(service) <= KEYS
    assert set(service["healthcheck"]) <= HEALTH_KEYS
    assert ("image" in service) or ("build" in service)


@each
def test_a_service_is_confined(name: str) -> None:
    service = ALL[name]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), "a user by number, not root"
    assert all("size=" in mount for mount in service["tmpfs"])
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)


@each
def test_a_service_has_limits(name: str) -> None:
    limits = ALL[name]["deploy"]["resources"]["limits"]
    assert 0 < float(limits["cpus"]) <= 2
    assert 0 < size(limits["memory"]) <= size("2G")
    assert limits["pids"] > 0


@each
def test_a_service_is_watched(name: str) -> None:
    check = ALL[name]["healthcheck"]
    if name in ONE_SHOTS:
        assert check == {"disable": True}
        assert ALL[name]["restart"] == "no"
        return
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert seconds(check["timeout"]) < seconds(check["interval"]) or name in DATA
    assert check["retries"] >= 3
    assert ALL[name]["restart"] == "unless-stopped"


@each
def test_an_image_is_pinned_to_a_version(name: str) -> None:
    image = ALL[name]["image"]
    assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", image), image


@each
def test_ports_are_open_to_this_machine_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in ALL[name].get("ports", []))


@each
def test_mounts_are_declared_and_what_comes_from_the_host_is_read_only(name: str) -> None:
    for mount in ALL[name].get("volumes", []):
        if mount["type"] == "volume":
            assert mount["source"] in raw()["volumes"]
            continue
        assert mount["read_only"] is True
        assert mount["bind"] == {"create_host_path": False}
        assert (ROOT / mount["source"]).exists() or mount["source"] == "./config/accounts.toml"


def test_nobody_reaches_postgres_and_redis_from_outside() -> None:
    assert raw()["networks"]["data"] == {"internal": True}
    for name in DATA:
        assert ALL[name]["networks"] == ["data"]
        assert "ports" not in ALL[name]


@each
def test_what_a_service_depends_on_is_there_and_says_when_it_is_ready(name: str) -> None:
    for other, how in ALL[name].get("depends_on", {}).items():
        condition = "service_completed_successfully" if other in ONE_SHOTS else "service_healthy"
        assert how == {"condition": condition}
        assert other in ALL


def test_profiles_hold_what_is_not_for_production() -> None:
    profiles = {name: service["profiles"] for name, service in ALL.items() if "profiles" in service}
    assert profiles == {"sandbox": ["sandbox"], "prometheus": ["monitoring"], "grafana": ["monitoring"]}


def test_redis_keeps_what_it_is_given_and_asks_for_a_password() -> None:
    script = ALL["redis"]["command"][2]
    words = shlex.split(script.partition("<<END")[0])
    options = {word: words[place + 1] for place, word in enumerate(words) if word.startswith("--")}
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert 'requirepass "$REDISCLI_AUTH"' in script
    assert GIVEN["REDIS_PASSWORD"] not in script
    assert size("384M") > int(options["--maxmemory"].removesuffix("mb")) * 2**20


def test_postgresql_takes_a_part_of_the_memory_that_it_may_have() -> None:
    service = ALL["postgres"]
    settings = dict(part.split("=") for part in service["command"] if "=" in part)
    most = size(service["deploy"]["resources"]["limits"]["memory"])
    for name, share in (("shared_buffers", 0.4), ("effective_cache_size", 0.75)):
        assert 0 < size(settings[name].removesuffix("B")) <= most * share
    assert size(settings["max_wal_size"].removesuffix("B")) <= size("4G")


def test_no_secret_stands_on_a_command_line() -> None:
    for service in ALL.values():
        for part in (service.get("command", []), service.get("entrypoint", []), service["healthcheck"].get("test", [])):
            assert not [secret for secret in GIVEN.values() if secret in " ".join(part)]


def test_flower_and_the_sandbox_get_no_secret_of_any_account() -> None:
    for name in ("flower", "sandbox"):
        assert ALL[name]["env_file"] == []


def test_every_account_group_of_the_example_has_its_worker_service() -> None:
    wanted = set(groups(load_accounts(ROOT / "config" / "accounts.example.toml", secrets=False).values()))
    commands = [service["command"] for name, service in ALL.items() if name.startswith("worker-")]
    served = {command[command.index("--group") + 1] for command in commands if "--group" in command}
    assert served == wanted
    assert [command for command in commands if "--only-control" in command]


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith("worker-")])
def test_a_workers_health_check_asks_for_the_name_it_was_given(name: str) -> None:
    service = ALL[name]
    command: list[str] = service["command"]
    assert service["healthcheck"]["test"] == [
        "CMD",
        "python",
        "-m",
        "config.alive",
        command[command.index("--name") + 1],
    ]


def test_a_worker_has_longer_to_end_than_it_takes_for_itself() -> None:
    for name, service in ALL.items():
        if name.startswith("worker-"):
            assert seconds(service["stop_grace_period"]) > Settings().shutdown_seconds + 5


def test_the_environment_names_settings_that_exist() -> None:
    known = {f"DRUMLINE_{name.upper()}" for name in Settings.model_fields}
    named = {key for service in ALL.values() for key in service.get("environment", {}) if key.startswith("DRUMLINE_")}
    assert named <= known
    assert {"DRUMLINE_DATABASE_URL", "DRUMLINE_REDIS_URL"} <= named


def test_the_sandbox_accounts_for_compose_are_those_for_one_machine() -> None:
    one, other = ((ROOT / "config" / f"accounts.{name}.toml").read_text("utf-8") for name in ("sandbox", "compose"))
    assert tomllib.loads(one.replace("http://127.0.0.1:8900", "http://sandbox:8900")) == tomllib.loads(other)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a$$b", "a$b"), ("${A}", "1"), ("${B:-x}", "x"), ("${A:-x}", "1"), ("${A:?no}-${A}", "1-1"), ("${B}", "")],
)
def test_variables_are_filled_in_as_compose_does(text: str, shown: str) -> None:
    assert interpolate(text, {"A": "1"}) == shown


def test_logs_do_not_fill_the_disk() -> None:
    options: list[dict[str, Any]] = [service["logging"]["options"] for service in ALL.values()]
    assert all("max-size" in option and "max-file" in option for option in options)
