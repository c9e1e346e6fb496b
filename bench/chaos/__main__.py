"""`python -m bench.chaos`: N seeds on one or both databases, or one seed again. Exit code 0: every run passed."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.chaos.databases import PostgresServer
from bench.chaos.plan import Database, Plan, draw
from bench.chaos.run import Outcome, run


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many, from --first on (default: 10)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--db", choices=("both", *Database), default="both")
    parser.add_argument("--gentle", action="store_true", help="fewer recipients and blows")
    parser.add_argument("--keep", type=Path, default=Path("var/chaos"), help="where failed runs are kept")
    parser.add_argument("--minutes", type=float, help="begin no run after so many minutes")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parse(arguments)
    seeds = [args.seed] if args.seed is not None else range(args.first, args.first + args.seeds)
    databases = list(Database) if args.db == "both" else [Database(args.db)]
    deadline = None if args.minutes is None else time.monotonic() + args.minutes * 60
    postgres = PostgresServer() if Database.POSTGRESQL in databases else None
    outcomes: list[Outcome] = []
    try:
        for seed in seeds:
            for database in databases:
                if deadline is None or time.monotonic() < deadline:
                    plan = draw(seed, database, gentle=args.gentle)
                    outcomes.append(_one(plan, args.keep, postgres if database is Database.POSTGRESQL else None))
    finally:
        if postgres:
            postgres.close()
    return _summary(outcomes)


def _one(plan: Plan, keep: Path, postgres: PostgresServer | None) -> Outcome:
    print(f"seed {plan.seed} on {plan.database}: {plan.recipients} recipients, {len(plan.blows)} blows", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="dl-chaos-"))
    outcome = run(plan, folder, postgres, lambda text: print(text, flush=True))
    facts = ", ".join(f"{name} {value}" for name, value in outcome.facts.items() if value)
    print(f"  {'passed' if outcome.passed else 'FAILED'} in {outcome.seconds:.0f} s ({facts})", flush=True)
    if outcome.passed:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        _keep(outcome, keep)
    return outcome


def _keep(outcome: Outcome, keep: Path) -> None:
    plan = outcome.plan
    kept = keep / f"{plan.database}-{plan.seed}"
    shutil.rmtree(kept, ignore_errors=True)
    keep.mkdir(parents=True, exist_ok=True)
    shutil.move(outcome.folder, kept)
    story = [f"{message} {text}".strip() for message, text in outcome.wrong]
    text = "\n".join((*story, outcome.told))
    (kept / "story.txt").write_text(text, "utf-8")
    print("\n".join(f"  {line}" for line in text.splitlines()[:80]))
    print(f"  logs and database: {kept}; again: python -m bench.chaos --seed {plan.seed} --db {plan.database}")


def _summary(outcomes: Sequence[Outcome]) -> int:
    failed = [outcome for outcome in outcomes if not outcome.passed]
    for database in Database:
        runs = [outcome for outcome in outcomes if outcome.plan.database is database]
        if runs:
            bad = sum(1 for outcome in runs if not outcome.passed)
            messages = sum(outcome.plan.recipients for outcome in runs)
            print(f"{database}: {len(runs) - bad} of {len(runs)} seeds passed, {messages:,} messages")
    if failed:
        print("failed:", ", ".join(f"{one.plan.seed} on {one.plan.database}" for one in failed))
    return 1 if failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
