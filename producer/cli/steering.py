"""How a campaign is steered, as options of a command: windows, paces, canary, guard, caps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from models.steering import (
    CanaryRule,
    Caps,
    GuardRule,
    Pacing,
    Slices,
    Spread,
    Steering,
    SteeringError,
    seconds_of,
)
from models.windows import Window, WindowError, parse_quiet, parse_window
from producer.campaigns import CampaignError

WindowOption = Annotated[
    str | None, typer.Option(help='Hours to send in, by each recipient\'s own clock: "09:00-20:00 mon-fri".')
]
QuietOption = Annotated[str | None, typer.Option(help="Hours not to send in, e.g. 21:00-08:00.")]
WindowZoneOption = Annotated[str | None, typer.Option(help="One time zone for all instead of each recipient's own.")]
SpreadOption = Annotated[str | None, typer.Option(help="Evenly over this time, e.g. 6h.")]
SlicesOption = Annotated[str | None, typer.Option(help="So many messages every so often, e.g. 1000/10m.")]
CanaryOption = Annotated[int | None, typer.Option(help="Send so many first, the rest only if these arrive.", min=1)]
CanaryShareOption = Annotated[float, typer.Option(help="Share of the canary that must be delivered.", min=0, max=1)]
CanaryWaitOption = Annotated[str, typer.Option(help="How long its reports are awaited, e.g. 30m.")]
CanaryCodeOption = Annotated[
    list[str] | None, typer.Option(help="A failure code that halts at once, e.g. DLT-*; may be given several times.")
]
GuardOption = Annotated[
    str | None, typer.Option(help="Pause when this share of the last outcomes are errors, e.g. 0.3/200.")
]
CapOption = Annotated[
    str | None, typer.Option(help="At most so many messages per number over all campaigns, e.g. 3/24h; 0: no cap.")
]
RepeatOption = Annotated[
    str | None, typer.Option(help="The same text to the same number not again within, e.g. 10m; 0: allowed.")
]


def read(
    *,
    window: str | None,
    quiet: str | None,
    window_zone: str | None,
    spread: str | None,
    slices: str | None,
    canary: int | None,
    canary_share: float,
    canary_wait: str,
    canary_codes: Sequence[str],
    guard: str | None,
    cap: str | None,
    repeat: str | None,
) -> Steering:
    """Raises CampaignError naming the option."""
    try:
        wait = seconds_of("canary_wait", canary_wait)
        return Steering(
            _window(window, quiet, window_zone),
            _pacing(spread, slices),
            None if canary is None else CanaryRule(canary, canary_share, wait, tuple(canary_codes)),
            _guard(guard),
            _caps(cap, repeat),
        )
    except SteeringError as error:
        raise CampaignError(error.field, str(error)) from error
    except WindowError as error:
        raise CampaignError("window", str(error)) from error


def _window(window: str | None, quiet: str | None, zone: str | None) -> Window | None:
    if window is not None and quiet is not None:
        raise CampaignError("window", "window: --window and --quiet say the same thing; give one of them")
    if window is not None:
        return parse_window(window, zone)
    return None if quiet is None else parse_quiet(quiet, zone)


def _pacing(spread: str | None, slices: str | None) -> Pacing | None:
    if spread is not None and slices is not None:
        raise CampaignError("spread", "spread: --spread and --slices exclude each other")
    if slices is not None:
        size, every = _pair("slices", slices, "1000/10m")
        return Slices(_whole("slices", size), seconds_of("slices", every))
    return None if spread is None else Spread(seconds_of("spread", spread))


def _guard(text: str | None) -> GuardRule | None:
    if text is None:
        return None
    share, _, last = text.partition("/")
    try:
        return GuardRule(float(share), _whole("guard", last)) if last else GuardRule(float(share))
    except ValueError as error:
        if isinstance(error, SteeringError):
            raise
        raise SteeringError("guard", f"found {text!r}, expected a share and a number as 0.3/200") from None


def _caps(cap: str | None, repeat: str | None) -> Caps | None:
    if cap is None and repeat is None:
        return None
    most = period = None
    if cap is not None and cap.strip() != "0":
        count, span = _pair("cap", cap, "3/24h")
        most, period = _whole("cap", count), seconds_of("cap", span)
    elif cap is not None:
        most = 0
    return Caps(most, period, None if repeat is None else seconds_of("repeat", repeat))


def _pair(field: str, text: str, example: str) -> tuple[str, str]:
    first, mark, second = text.partition("/")
    if not mark:
        raise SteeringError(field, f"found {text!r}, expected something like {example}")
    return first, second


def _whole(field: str, text: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit() and len(text.strip()) <= 15):
        raise SteeringError(field, f"found {text!r}, expected a whole number")
    return int(text)
