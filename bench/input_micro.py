"""Rows per second of each stage of an import, on one core: `python -m bench.input_micro [PASSES]`.

Each pass goes over the same 10,000 rows, since so many numbers are free for fiction in one country; duplicates are
looked for within a pass.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable

from models.msisdn import parse_many
from models.segments import measure
from producer.audience import Audience, Rules
from producer.readers import open_table
from producer.template import Template

TEMPLATE = "Hi {{ name }}, your order {{ order }} is ready. Reply STOP to opt out"
LIQUID = "Hi {{ name | upcase }}, your order {{ order }} is ready. Reply STOP to opt out"


ROWS = 10_000


def csv_file() -> bytes:
    lines = (f"{french(n)},Ann {n},London,A-{n},ref{n}\n" for n in range(ROWS))
    return ("phone,name,city,order,reference\n" + "".join(lines)).encode()


def french(n: int) -> str:
    """A number of the range that ARCEP keeps free for films."""
    return f"+33639{980_000 + n}"


def stages() -> dict[str, Callable[[], int]]:
    data = csv_file()
    numbers = [french(n) for n in range(ROWS)]
    gb = [f"+447700{900_000 + n % 1000}" for n in range(ROWS)]
    us = [f"+1202555{100 + n % 100:04}" for n in range(ROWS)]
    spaced = [f"06 39 {980_000 + n}" for n in range(ROWS)]
    plain, liquid = Template.parse(TEMPLATE), Template.parse(LIQUID)
    values = [{"name": f"Ann {n}", "order": f"A-{n}"} for n in range(ROWS)]
    texts = [plain.render(row) for row in values]
    return {
        "read CSV": lambda: sum(1 for _ in open_table(io.BytesIO(data)).rows),
        "numbers, E.164, FR fiction": lambda: len(parse_many(numbers)),
        "numbers, E.164, GB fiction": lambda: len(parse_many(gb)),
        "numbers, E.164, US": lambda: len(parse_many(us)),
        "numbers, national, FR": lambda: len(parse_many(spaced, "FR")),
        "render, plain names": lambda: len([plain.render(row) for row in values]),
        "render, with a filter": lambda: len([liquid.render(row) for row in values[: ROWS // 10]]),
        "segments": lambda: len([measure(text) for text in texts]),
        "all of it": lambda: sum(len(c) for c in Audience(plain, Rules()).chunks(open_table(io.BytesIO(data)))),
    }


def main(passes: int) -> None:
    for name, stage in stages().items():
        started = time.perf_counter()
        count = sum(stage() for _ in range(passes))
        print(f"{name:28} {count / (time.perf_counter() - started):>12,.0f} /s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
