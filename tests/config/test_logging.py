"""No number and no secret in any log line, ours or a library's."""

from __future__ import annotations

import json
import logging
import logging.config
from collections.abc import Iterator

import pytest
import structlog
import uvicorn.config

from config.logging import configure_logging, mask_numbers, mask_secrets


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to +447700900123 now", "to +447…23 now"), ("447700900123", "4477…23"), ("(+12025550123)", "(+120…23)"),
        ("two +447700900123,+447700900124", "two +447…23,+447…24"),
        ("00447700900123", "0044…23"), ("07700900123", "0770…23"), ("+44 7700 900123", "+44 …23"),
        ("+1 (202) 555-0123", "+1 (…23"), ("to=%2B447700900123&x=1", "to=%2B4477…23&x=1"),
        ("447700900123-1", "4477…23-1"),
        ("12345678-0000-7000-8000-000000000001", "12345678-0000-7000-8000-000000000001"),
        ("2026-11-20T12:00:00+00:00", "2026-11-20T12:00:00+00:00"),
        ("batch 1234567", "batch 1234567"),
        ("id 0198c0de-0000-7000-8000-000000000001", "id 0198c0de-0000-7000-8000-000000000001"),
    ],
)  # fmt: skip
def test_numbers_are_masked_and_ids_are_not(text: str, shown: str) -> None:
    assert mask_numbers(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "redis://:hush-hush@127.0.0.1:6379/0 is away", "postgresql://drumline:hush-hush@db/drumline",
        'Authorization: "Bearer hush-hush"', "{'api_key': 'hush-hush', 'x': 1}", "GET /x?token=hush-hush&y=1",
        "password=hush-hush", "sent Basic hush-hush to it", "X-Signature: hush-hush",
    ],
)  # fmt: skip
def test_what_stands_behind_the_name_of_a_secret_is_hidden(text: str) -> None:
    assert "hush-hush" not in mask_secrets(text)


def test_values_of_every_shape_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "INFO")
    structlog.get_logger("drumline.t").warning(
        "shapes", people=["+447700900123", ("447700900124",)], inner={"to": "447700900125", "password": "hush-hush"},
        error=ValueError("no +447700900126"), rows=12, share=0.5, ready=True, nothing=None,
    )  # fmt: skip
    line = capsys.readouterr().err
    assert not [hidden for hidden in ("900123", "900124", "900125", "900126", "hush-hush") if hidden in line]
    found = json.loads(line)
    assert (found["rows"], found["share"], found["ready"], found["nothing"]) == (12, 0.5, True, None)


def test_uvicorns_lines_pass_through_the_same_masks_and_its_access_log_is_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It sets up handlers of its own before our app is made; paths hold webhook tokens."""
    logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
    configure_logging("json", "INFO")
    logging.getLogger("uvicorn.error").error("failed for 447700900123")
    logging.getLogger("uvicorn.access").info("POST /v1/dlr/acme/hush-hush")
    assert json.loads(capsys.readouterr().err)["event"] == "failed for 4477…23"


@pytest.mark.parametrize("form", ["console", "json"])
def test_our_own_lines_hide_numbers_and_secrets(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure_logging("json" if form == "json" else "console", "INFO")
    structlog.get_logger("drumline.t").warning(
        "sent to +447700900123", to="+447700900124", api_key="k3y-1", Authorization="Bearer b3arer", webhook_token="t0k"
    )
    line = capsys.readouterr().err.replace("\\u2026", "…")
    assert "sent to +447…23" in line
    for secret in ("+447700900123", "+447700900124", "k3y-1", "b3arer", "t0k"):
        assert secret not in line


def test_a_librarys_lines_pass_through_the_same_masks(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "INFO")
    logging.getLogger("somebody.else").warning("GET /reports?to=%s", "447700900123")
    line = json.loads(capsys.readouterr().err)
    assert line["event"] == "GET /reports?to=4477…23"
    assert line["logger"] == "somebody.else"


def test_a_traceback_is_masked_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "INFO")
    try:
        raise ValueError("no such number +447700900123")
    except ValueError:
        logging.getLogger("x").exception("failed")
    assert "+447700900123" not in capsys.readouterr().err


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "WARNING")
    structlog.get_logger("drumline.t").info("quiet")
    logging.getLogger("x").info("quiet")
    assert capsys.readouterr().err == ""


def test_the_chatter_of_http_libraries_is_kept_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "INFO")
    logging.getLogger("httpx").info("HTTP Request: GET http://x/?token=abc")
    assert capsys.readouterr().err == ""
