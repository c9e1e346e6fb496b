"""Traces are an option: without it nothing is imported, with it spans carry ids and no words of errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from config import tracing
from config.settings import ROOT, Settings
from tests.production.receiver import Receiver

WORKER = "import workers.tasks, producer.tasks, config.celery_app, config.clock"
API = "import producer.api.app"


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DRUMLINE_")},
        "DRUMLINE_ACCOUNTS_FILE": str(ROOT / "config" / "accounts.sandbox.toml"),
        "DRUMLINE_REDIS_URL": "redis://127.0.0.1:1/0",
        **environment,
    }
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=given, capture_output=True, text=True)


@pytest.mark.parametrize("program", [WORKER, API])
def test_off_we_import_nothing_of_opentelemetry(program: str) -> None:
    """FastAPI and redis-py look for its API and its metrics by themselves, where they are installed; what makes and
    sends traces only we would import."""
    parts = ("opentelemetry.exporter", "opentelemetry.sdk.trace")
    code = f"{program}; import sys; print([name for name in sys.modules if name.startswith({parts})])"
    found = in_a_process(code)
    assert (found.returncode, found.stdout.strip()) == (0, "[]"), found.stderr


def test_an_endpoint_without_the_packages_is_a_clear_error() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from config import tracing\nfrom config.settings import Settings\n"
        "tracing.start(Settings(tracing_endpoint='http://127.0.0.1:1/v1/traces'), 'api')"
    )
    found = in_a_process(code)
    assert found.returncode == 1
    assert "SettingsError: DRUMLINE_TRACING_ENDPOINT is set, but OpenTelemetry is not installed" in found.stderr
    assert "drumline[tracing]" in found.stderr


def test_off_a_span_costs_a_look_and_gives_something_to_write_on() -> None:
    assert not tracing.on
    with tracing.span("batch", account="acme") as first, tracing.span("plan") as second:
        first.set_attribute("x", 1)
    assert first is second
    headers: dict[str, str] = {}
    tracing.inject(headers)
    assert headers == {}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with Receiver() as opened:
        tracing.start(Settings(tracing_endpoint=opened.url), "test")
        yield opened
        tracing.stop()


def test_a_trace_goes_on_behind_the_headers(receiver: Receiver) -> None:
    headers: dict[str, str] = {}
    with tracing.span("dispatch", batches=3):
        tracing.inject(headers)
    with tracing.continued(headers), tracing.span("batch"):
        pass
    with tracing.span("another"):
        pass
    tracing.stop()
    dispatch, batch, another = (receiver.named(name)[0] for name in ("dispatch", "batch", "another"))
    assert (batch.trace, batch.parent) == (dispatch.trace, dispatch.id)
    assert another.trace != dispatch.trace
    assert dispatch.attributes == {"drumline.batches": 3}
    assert dispatch.service == "drumline-test"


def test_an_errors_own_words_are_in_no_span(receiver: Receiver) -> None:
    def fail() -> None:
        with tracing.span("submit request"):
            raise ValueError("no such number +447700900123")

    with pytest.raises(ValueError, match="no such number"):
        fail()
    tracing.stop()
    (span,) = receiver.named("submit request")
    assert "447700900123" not in span.whole
    assert "ValueError" in span.whole


def test_the_share_of_traces_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with Receiver() as opened:
        tracing.start(Settings(tracing_endpoint=opened.url, tracing_sample=0.0), "test")
        with tracing.span("never"):
            pass
        tracing.stop()
        assert opened.spans == []
