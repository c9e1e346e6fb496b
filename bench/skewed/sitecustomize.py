"""Python imports this by itself when its folder is on the path: it makes this process's wall clock wrong.

For the benchmarks only. `DRUMLINE_BENCH_CLOCK_OFFSET`: seconds; `DRUMLINE_BENCH_CLOCK_AFTER`: seconds from the start
until it steps. What C code reads by itself stays right.
"""

import datetime
import os
import time
from typing import Any

_OFFSET = float(os.environ.get("DRUMLINE_BENCH_CLOCK_OFFSET", "0"))
_STEPS_AT = time.monotonic() + float(os.environ.get("DRUMLINE_BENCH_CLOCK_AFTER", "0"))


def _offset() -> float:
    return _OFFSET if time.monotonic() >= _STEPS_AT else 0.0


if _OFFSET:
    _time = time.time
    _Real = datetime.datetime

    class _SkewedMeta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _Real)

    class _Skewed(_Real, metaclass=_SkewedMeta):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _Real.now(tz) + datetime.timedelta(seconds=_offset())

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(datetime.UTC).replace(tzinfo=None)

    time.time = lambda: _time() + _offset()
    datetime.datetime = _Skewed  # type: ignore[misc]  # the purpose
