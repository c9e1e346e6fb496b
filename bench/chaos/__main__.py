"""`python -m bench.chaos`: N seeds on one or both databases, or one seed again. Exit code 0: every run passed."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.chaos.plan import Database, draw
from bench.chaos.series import series, summary


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many, from --first on (default: 10)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--db", choices=("both", *Database), default="both")
    parser.add_argument("--gentle", action="store_true", help="fewer recipients and blows")
    parser.add_argument("--keep", type=Path, default=Path("var/chaos"), help="where failed runs are kept")
    parser.add_argument("--minutes", type=float, help="begin no run after so many minutes")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time (default: 1)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parse(arguments)
    seeds = [args.seed] if args.seed is not None else range(args.first, args.first + args.seeds)
    databases = list(Database) if args.db == "both" else [Database(args.db)]
    deadline = math.inf if args.minutes is None else time.monotonic() + args.minutes * 60
    plans = [draw(seed, database, gentle=args.gentle) for seed in seeds for database in databases]
    return summary(series(plans, args.jobs, args.keep, deadline))


if __name__ == "__main__":
    sys.exit(main())
