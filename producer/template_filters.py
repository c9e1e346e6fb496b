"""The filters a template may use: those of Qikberry's document and no others, each with a bound on what it can build.

Qikberry manual, Replaceable Variables, Advanced output: Filters. They are Liquid's own, save `date_format`, which
takes the letters of PHP (`d/m/Y`). Liquid's limits do not stop a filter from building gigabytes before the output is
counted, so every result is measured here, and numbers stay in a range that ends up as few characters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from liquid import Environment, is_undefined
from liquid.builtin.expressions.arguments import KeywordArgument
from liquid.builtin.expressions.filtered import Filter
from liquid.exceptions import FilterArgumentError, LiquidSyntaxError, UnknownFilterError

MAX_VALUE = 2_000
"""Longest variable and longest result of a filter, in characters: more than any provider takes as a whole message."""
MAX_NUMBER = 10**15
MAX_PIECES = 100

_ARGUMENTS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "append": (1, 1),
        "ceil": (0, 0),
        "date_format": (1, 1),
        "default": (1, 1),
        "divided_by": (1, 1),
        "downcase": (0, 0),
        "escape": (0, 0),
        "first": (0, 0),
        "floor": (0, 0),
        "lstrip": (0, 0),
        "minus": (1, 1),
        "modulo": (1, 1),
        "plus": (1, 1),
        "prepend": (1, 1),
        "round": (0, 1),
        "rstrip": (0, 0),
        "size": (0, 0),
        "slice": (1, 2),
        "split": (1, 1),
        "strip": (0, 0),
        "times": (1, 1),
        "upcase": (0, 0),
        "url_encode": (0, 0),
    }
)
"""Every allowed filter and how many arguments it takes."""
FILTERS = tuple(_ARGUMENTS)


class Guarded:
    """A filter that looks at the size of what goes in and of what comes out."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._function = function
        if hasattr(function, "with_environment"):  # Liquid then hands its environment over by keyword
            self.with_environment = True

    def __call__(self, value: object, *arguments: object, **environment: object) -> object:
        for argument in (value, *arguments):
            _check(self._name, argument)
        try:
            return _check(self._name, self._function(value, *arguments, **environment))
        except (ValueError, ArithmeticError) as error:
            raise FilterArgumentError(f"{self._name} cannot use this value", token=None) from error  # names no value


def check_use(used: Filter) -> None:
    """`LiquidSyntaxError` for an unknown filter or a wrong number of arguments."""
    if used.name not in _ARGUMENTS:
        raise UnknownFilterError(f"unknown filter '{used.name}'", token=used.token)
    least, most = _ARGUMENTS[used.name]
    if not least <= len(used.args) <= most or any(isinstance(arg, KeywordArgument) for arg in used.args):
        wanted = str(least) if least == most else f"{least} or {most}"
        raise LiquidSyntaxError(f"'{used.name}' takes {wanted} unnamed argument(s)", token=used.token)


def install(environment: Environment) -> None:
    """Leave the environment with the allowed filters alone."""
    builtin = dict(environment.filters)
    builtin |= {"date_format": date_format, "default": default}
    environment.filters.clear()
    for name in FILTERS:
        environment.add_filter(name, Guarded(name, builtin[name]))


def default(value: object, instead: object) -> object:
    """`{{ name | default: 'friend' }}`: for a variable that is missing, nil, false or an empty string."""
    return instead if is_undefined(value) or value in (None, False, "") else value


def date_format(value: object, pattern: object) -> str:
    """`{{ start_at | date_format: 'd/m/Y' }}`: an ISO date or date and time, written by PHP's letters.

    Other letters and signs stand for themselves. `ValueError` for what is no ISO date.
    """
    moment = datetime.fromisoformat(str(value).strip())
    return "".join(_LETTERS[char](moment) if char in _LETTERS else char for char in str(pattern))


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# Own tables, because strftime speaks the language of the machine, and each machine would send another text.
_LETTERS: Mapping[str, Callable[[datetime], str]] = MappingProxyType(
    {
        "d": lambda t: f"{t.day:02}",
        "j": lambda t: str(t.day),
        "D": lambda t: _DAYS[t.weekday()][:3],
        "l": lambda t: _DAYS[t.weekday()],
        "N": lambda t: str(t.isoweekday()),
        "m": lambda t: f"{t.month:02}",
        "n": lambda t: str(t.month),
        "M": lambda t: _MONTHS[t.month - 1][:3],
        "F": lambda t: _MONTHS[t.month - 1],
        "y": lambda t: f"{t.year % 100:02}",
        "Y": lambda t: f"{t.year:04}",
        "a": lambda t: "am" if t.hour < 12 else "pm",
        "A": lambda t: "AM" if t.hour < 12 else "PM",
        "g": lambda t: str((t.hour + 11) % 12 + 1),
        "h": lambda t: f"{(t.hour + 11) % 12 + 1:02}",
        "G": lambda t: str(t.hour),
        "H": lambda t: f"{t.hour:02}",
        "i": lambda t: f"{t.minute:02}",
        "s": lambda t: f"{t.second:02}",
    }
)


def _check(name: str, value: object) -> object:
    if isinstance(value, str | list | tuple) and len(value) > (MAX_VALUE if isinstance(value, str) else MAX_PIECES):
        raise FilterArgumentError(f"{name}: longer than a message may be", token=None)
    if isinstance(value, int | float) and not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise FilterArgumentError(f"{name}: a number outside ±{MAX_NUMBER}", token=None)
    return value
