"""The switches of one provider: set in the TOML file (`[quicksms] …`) or at run time (POST /_sandbox/config)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from sandbox.limits import Counts, Window
from sandbox.outcomes import Outcome


class SettingsError(ValueError):
    """A switch that does not exist or a value of the wrong kind; the message names both."""


@dataclass(slots=True, kw_only=True)
class Settings:
    """What all four providers share; a provider adds its own fields in a subclass (and sets defaults there).

    limits        sliding windows per account: [{limit, per_seconds, counts = "requests"|"messages", methods = ["GET"]}]
    limit_scale   multiplies every limit
    dlr_delay     (min, max) seconds from acceptance to the final status
    latency       (min, max) seconds before each answer
    mix           outcome → weight, for numbers without a special ending
    suffix_rules  whether number endings decide (sandbox/outcomes.py)
    approved_senders  None = any
    price, currency   per message part
    push          whether reports are pushed; callback_url is the account's default URL
    webhook_secret    signing secret of the account; None = unsigned
    retry_scale   multiplies the provider's webhook retry delays
    keep_text     False keeps only the length of texts (millions of messages in little memory)
    """

    # Allowed values of settings that are a choice; a provider extends it.
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    limits: tuple[Window, ...] = ()
    limit_scale: float = 1.0
    dlr_delay: tuple[float, float] = (1.0, 1.0)
    latency: tuple[float, float] = (0.0, 0.0)
    mix: dict[str, float] = field(default_factory=lambda: {"delivered": 1.0})
    suffix_rules: bool = True
    approved_senders: tuple[str, ...] | None = None
    price: float = 0.01
    currency: str = "EUR"
    push: bool = True
    callback_url: str | None = None
    webhook_secret: str | None = None
    retry_scale: float = 1.0
    keep_text: bool = True

    def update(self, changes: Mapping[str, Any]) -> None:
        """Set the named switches; all or none of them. Errors: SettingsError."""
        known = {item.name for item in fields(self)}
        if unknown := sorted(set(changes) - known):
            raise SettingsError(f"unknown setting {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        parsed = {name: _parse(name, value, getattr(self, name)) for name, value in changes.items()}
        for name in set(parsed) & set(self.choices):
            if parsed[name] not in self.choices[name]:
                raise SettingsError(f"{name}: {parsed[name]!r} is none of {', '.join(map(repr, self.choices[name]))}")
        for name, value in parsed.items():
            setattr(self, name, value)


def _parse(name: str, value: Any, current: Any) -> Any:
    special = _span if name.endswith("delay") else _SPECIAL.get(name)
    try:
        return special(value) if special else _like(value, current)
    except (TypeError, ValueError, KeyError) as error:
        raise SettingsError(f"{name}: cannot use {value!r} ({error})") from error


def _like(value: Any, current: Any) -> Any:
    """The value in the kind of the current one; None and tables pass as they are."""
    if isinstance(current, bool):
        return _boolean(value)
    if isinstance(current, int | float) and current is not None:
        return _number(value, type(current))
    if isinstance(value, list):
        return tuple(value)
    if isinstance(current, str | dict) and value is not None and not isinstance(value, type(current)):
        raise TypeError(f"expected {type(current).__name__}")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("expected true or false")
    return value


def _number(value: Any, kind: type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("expected a number")
    return float(value) if kind is float else int(value)


def _span(value: Any) -> tuple[float, float]:
    low, high = (value, value) if isinstance(value, int | float) else value
    if not 0 <= low <= high:
        raise ValueError("expected 0 <= min <= max")
    return float(low), float(high)


def _windows(value: Any) -> tuple[Window, ...]:
    return tuple(
        Window(
            int(item["limit"]),
            float(item["per_seconds"]),
            Counts(item.get("counts", "requests")),
            tuple(item.get("methods", ())),
        )
        for item in value
    )


def _mix(value: Any) -> dict[str, float]:
    mix = {str(Outcome(name)): float(share) for name, share in value.items()}
    if sum(mix.values()) <= 0 or min(mix.values()) < 0:
        raise ValueError("weights must not be negative, and one must be positive")
    return mix


# Every setting whose name ends in "delay", and the latency, is a span of seconds: one number or [min, max].
_SPECIAL = {"limits": _windows, "mix": _mix, "latency": _span}
