"""OpenTelemetry traces, if somebody wants them: `DRUMLINE_TRACING_ENDPOINT` and the extra `tracing`.

Off, nothing of OpenTelemetry is imported, and a hot path looks at `on` alone. Spans carry ids, accounts, counts and
statuses; never a number, a text or an error's own words, which may hold either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Value = str | int | float | bool

on = False
"""Whether spans are made in this process."""

_provider: TracerProvider | None = None


class Span(Protocol):
    """As much of a span as we use."""

    def set_attribute(self, key: str, value: Value) -> Any: ...


class _Nothing:
    """Stands for a span while tracing is off."""

    def set_attribute(self, key: str, value: Value) -> None:
        """Nobody looks."""


_NOTHING = nullcontext[Span](_Nothing())


def start(settings: Settings, service: str) -> None:
    """Begin to make spans, where the settings ask for it. `service`: api, worker, beat or cli. Raises SettingsError
    where the packages are missing."""
    global on, _provider  # one per process is the point
    if on or not settings.tracing_endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ImportError as error:
        raise SettingsError(
            "DRUMLINE_TRACING_ENDPOINT is set, but OpenTelemetry is not installed: install Drumline with its extra "
            f"`tracing` (pip install 'drumline[tracing]'), or unset it ({error})"
        ) from None
    resource = Resource.create({"service.name": f"drumline-{service}", "deployment.environment": settings.environment})
    _provider = TracerProvider(resource=resource, sampler=ParentBasedTraceIdRatio(settings.tracing_sample))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.tracing_endpoint)))
    on = True


def stop() -> None:
    """Send what is left, and make no more spans."""
    global on, _provider  # as above
    on = False
    if _provider is not None:
        _provider.shutdown()
        _provider = None


def span(name: str, *, begin_ns: int | None = None, **attributes: Value) -> AbstractContextManager[Span]:
    """A span around a block of work; `begin_ns` where it began earlier. Attributes are named `drumline.…`."""
    return _span(name, begin_ns, attributes) if on else _NOTHING


@contextmanager
def _span(name: str, begin_ns: int | None, attributes: Mapping[str, Value]) -> Iterator[Span]:
    if _provider is None:  # switched off in this moment
        yield _Nothing()
        return
    from opentelemetry.trace import Status, StatusCode

    named = {f"drumline.{key}": value for key, value in attributes.items()}
    # Their own recording of exceptions would copy the exception's text, and with it numbers and texts.
    with _provider.get_tracer("drumline").start_as_current_span(
        name, attributes=named, start_time=begin_ns, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except BaseException as error:
            made.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def inject(carrier: MutableMapping[str, Any]) -> None:
    """Write the present context into headers (W3C traceparent)."""
    if on:
        from opentelemetry.propagate import inject as write

        write(carrier)


@contextmanager
def continued(carrier: Mapping[str, Any]) -> Iterator[None]:
    """Work within the context that came in these headers, if one did."""
    if not on or "traceparent" not in carrier:
        yield
        return
    from opentelemetry import context
    from opentelemetry.propagate import extract

    token = context.attach(extract({"traceparent": str(carrier["traceparent"])}))
    try:
        yield
    finally:
        context.detach(token)
