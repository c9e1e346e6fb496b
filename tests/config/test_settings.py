"""Settings from the environment: a wrong one is named, with what was found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import REDIS_URL_FILE, SECRETS, Settings, SettingsError, load
from producer.api.options import read_options


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no .env of the machine the tests run on."""
    for name in list(os.environ):
        if name.startswith("DRUMLINE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_without_anything_set_it_is_the_embedded_default() -> None:
    found = load()
    assert found.database_url == "sqlite:///var/drumline.db"
    assert found.redis_url == ""


def test_every_setting_is_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUMLINE_DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("DRUMLINE_LEASE_SECONDS", "90")
    monkeypatch.setenv("DRUMLINE_LOG_FORMAT", "json")
    found = load()
    assert (found.database_url, found.lease_seconds, found.log_format) == ("postgresql://h/d", 90.0, "json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DRUMLINE_API_PORT", "many"), ("DRUMLINE_LOG_FORMAT", "xml"), ("DRUMLINE_LOG_LEVEL", "LOUD"),
        ("DRUMLINE_LEASE_SECONDS", "soon"), ("DRUMLINE_BATCH_SECONDS", ""), ("DRUMLINE_DEFAULT_REGION", "UK"),
        ("DRUMLINE_DEFAULT_REGION", "GBR"), ("DRUMLINE_DEFAULT_ZONE", "Mars/X"),
        ("DRUMLINE_DEFAULT_ZONE", "/etc/passwd"),
        ("DRUMLINE_API_PORT", "65536"), ("DRUMLINE_FLOWER_PORT", "0"), ("DRUMLINE_NO_REPORT_GRACE", "-1"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_its_variable_and_what_was_found(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value).startswith(f"{name}: found {value!r}; ")


def test_what_a_region_and_a_zone_look_like_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUMLINE_DEFAULT_REGION", "UK")
    monkeypatch.setenv("DRUMLINE_DEFAULT_ZONE", "Mars/X")
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value).splitlines() == [
        "DRUMLINE_DEFAULT_REGION: found 'UK'; expected a country's two letters, like GB or DE, or nothing",
        "DRUMLINE_DEFAULT_ZONE: found 'Mars/X'; expected the name of a time zone, like UTC or Europe/Berlin",
    ]


def test_a_region_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUMLINE_DEFAULT_REGION", "gb")
    assert load().default_region == "GB"


TIMES = sorted(name for name, field in Settings.model_fields.items() if field.annotation is float)


@pytest.mark.parametrize("value", ["inf", "nan", "1e20", "-1e20"])
@pytest.mark.parametrize("name", TIMES)
def test_no_number_overflows_a_time(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"DRUMLINE_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"^DRUMLINE_{name.upper()}: found '{value}'; "):
        load()


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUMLINE_API_PORT", "x")
    monkeypatch.setenv("DRUMLINE_FLOWER_PORT", "y")
    with pytest.raises(SettingsError) as caught:
        load()
    assert len(str(caught.value).splitlines()) == 2


def test_a_wrong_setting_of_the_api_is_named_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUMLINE_API_MAX_BODY", "8 MiB")
    with pytest.raises(SettingsError, match=r"^DRUMLINE_API_MAX_BODY: found '8 MiB'; "):
        read_options()


def test_without_redis_it_says_how_to_get_one() -> None:
    with pytest.raises(SettingsError, match=r"DRUMLINE_REDIS_URL is not set.*drumline up"):
        load().broker_url()


@pytest.mark.parametrize(
    ("url", "broker"),
    [("redis://h:1/0", "redis://h:1/0"), ("unix:///run/r.sock", "redis+socket:///run/r.sock")],
)
def test_the_broker_gets_the_address_in_its_own_spelling(url: str, broker: str) -> None:
    assert Settings(redis_url=url).broker_url() == broker


def test_a_running_stack_leaves_the_address_of_its_redis(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / REDIS_URL_FILE).write_text("unix:///x.sock\n")
    assert load().redis_url == "unix:///x.sock"


def test_secrets_may_lie_in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "DRUMLINE_FLOWER_PASSWORD").write_text("s3cr3t")
    monkeypatch.setenv("DRUMLINE_SECRETS_DIR", str(folder))
    found = load()
    assert found.flower_password is not None
    assert found.flower_password.get_secret_value() == "s3cr3t"
    assert "s3cr3t" not in repr(found)


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_may_lie_in_a_file_that_its_variable_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret").write_text("redis://:s3cr3t-of-many-letters@h/0\n")
    monkeypatch.setenv(f"DRUMLINE_{name.upper()}_FILE", str(tmp_path / "secret"))
    found = load()
    value = getattr(found, name)
    assert (
        value.get_secret_value() if isinstance(value, SecretStr) else value
    ) == "redis://:s3cr3t-of-many-letters@h/0"
    assert "s3cr3t" not in repr(found)


def test_every_setting_that_is_a_secret_may_lie_in_a_file() -> None:
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert secret | {"database_url", "redis_url"} == set(SECRETS)


def test_the_variable_itself_wins_over_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DRUMLINE_DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("DRUMLINE_DATABASE_URL_FILE", str(tmp_path / "nothing"))
    assert load().database_url == "postgresql://h/d"


def test_a_secret_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DRUMLINE_REDIS_URL_FILE", str(tmp_path / "nothing"))
    with pytest.raises(SettingsError, match=r"DRUMLINE_REDIS_URL_FILE: .*nothing cannot be read"):
        load()
