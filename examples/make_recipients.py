"""Write `recipients.csv` and `suppressed.txt`: `python examples/make_recipients.py [FOLDER]`. The same files every
time.

No number belongs to anybody. Ranges that countries keep free for films, books and tests:

- GB +44 7700 900000-999: Ofcom, Telephone numbers for use in TV and radio drama programmes
- US and CA +1 NXX 555 0100-0199: NANPA, 555 line numbers for fictional use
- AU +61 491 570 006 and further single numbers: ACMA, Phone numbers for use in TV shows, films and creative works
- FR +33 6 39 98 0000-9999: ARCEP, decision 2018-0881, numbers for audiovisual works
- IE +353 20 915 0000-9999: ComReg, Numbering Conditions of Use, numbers for drama
- DE +49 171 39200 00-99: Bundesnetzagentur, Drama Numbers
- SE +46 70 1740605-699: PTS, numbers for use in books and films
- GH +233 20 507 2987 and +233 20 113 3119: the samples of the Qikli manual; NL +31 6 12345678: that of the Cliqtel API

The last four digits decide what the sandbox does with a message (0000 undelivered, 9999 expired, 9998 rejected by the
carrier, 9997 refused at submit, 9995 do not disturb), so they occur a few times on purpose and 9996 never.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Callable
from pathlib import Path

SEED = 20260301
SWITCHES = ("0000", "9999", "9998", "9997", "9995")
NAMES = (
    "Ann Bob Chloé Dara Emma Finn Grace Hannah Isaac Jürgen Kwame Léa Mia Noah Olivia Paul Quinn Rosa Siân Tom "
    "Uma Victor Will Xavier Yara Zoë Ama Björn Ciara Émile"
)

Number = tuple[str, str]
"""E.164 and city."""


def us_and_canada() -> list[Number]:
    areas = [("202", "Washington"), ("212", "New York"), ("312", "Chicago"), ("415", "San Francisco")]
    areas += [("305", "Miami"), ("416", "Toronto"), ("514", "Montréal")]
    return [(f"+1{area}555{line:04}", city) for area, city in areas for line in range(100, 200)]


def ranges(rng: random.Random) -> list[Number]:
    """Every country's share of the list."""
    australia = [6, 156, 157, 158, 159, 110]
    found = [(f"+447700900{n:03}", "London") for n in rng.sample(range(1, 1000), 520)]
    found += rng.sample(us_and_canada(), 450)
    found += [(f"+336399{80000 + n}", "Paris") for n in rng.sample(range(1, 9990), 450)]
    found += [(f"+35320915{n:04}", "Dublin") for n in rng.sample(range(1, 9990), 430)]
    found += [(f"+491713920{n:03}", "Berlin") for n in range(100)]
    found += [(f"+46701740{n}", "Stockholm") for n in range(605, 700)]
    found += [(f"+61491570{n:03}", "Sydney") for n in australia]
    found += [("+233205072987", "Accra"), ("+233201133119", "Kumasi"), ("+31612345678", "Utrecht")]
    return [number for number in found if number[0][-4:] not in (*SWITCHES, "9996")]


def switched() -> list[Number]:
    """Numbers on which the sandbox does something else than deliver."""
    french = [(f"+33639{area}{end}", "Lyon") for area, end in (("98", end) for end in SWITCHES)]
    irish = [(f"+35320915{end}", "Cork") for end in SWITCHES]
    return french + irish


SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda n: n,
    lambda n: n,
    lambda n: n,
    lambda n: f"{n[:3]} {n[3:7]} {n[7:]}",
    lambda n: f"00{n[1:]}",
    lambda n: f"{n[:4]}-{n[4:8]}-{n[8:]}",
)
BAD: tuple[str, ...] = (
    *("02000000O01", "call me", "+44770O900123", "n/a", "unknown"),
    *("+4477009", "12345", "+1202555", "60777", "0770"),
    *("4.477E+11", "4.477e11", "3.53209E+11", "447700900123.0", "1713920001.0"),
    *("", "", " ", "-", ""),
    *("+1 202 555 0123 ext. 5", "+999123456789", "+447700900123/+447700900124"),
)


def rows(rng: random.Random) -> tuple[list[list[str]], list[str]]:
    """All rows without header, and the numbers that opted out."""
    numbers = ranges(rng) + switched()
    rng.shuffle(numbers)
    names = NAMES.split()
    spelled = [(rng.choice(SPELLINGS)(number), city) for number, city in numbers]
    out = [[phone, rng.choice(names), city, "", ""] for phone, city in spelled]
    for phone in BAD:
        out.insert(rng.randrange(50, len(out)), [phone, rng.choice(names), "Nowhere", "", ""])
    for number, city in rng.sample(numbers[:1500], 20):  # again, in another spelling, far behind
        out.insert(rng.randrange(1700, len(out)), [f"{number[:3]} ({number[3:6]}) {number[6:]}", "Twin", city, "", ""])
    for at, row in enumerate(out):
        row[3:] = [f"A-{1000 + at}", f"r{at + 1:05}"]
    calm = [number for number, _ in numbers[:1500] if number[-4:] not in SWITCHES]
    return out, sorted(rng.sample(calm, 15))


def main(folder: Path) -> None:
    rng = random.Random(SEED)
    found, suppressed = rows(rng)
    with (folder / "recipients.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["phone", "name", "city", "order", "reference"])
        writer.writerows(found)
    remark = "# Numbers that opted out, one per line\n"
    (folder / "suppressed.txt").write_text(remark + "".join(f"{number}\n" for number in suppressed), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
