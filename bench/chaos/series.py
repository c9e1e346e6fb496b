"""Many runs, one after the other or some at a time, each in a process of its own; what came of them."""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from bench.chaos.databases import PostgresServer
from bench.chaos.plan import Database, Plan
from bench.chaos.run import Outcome, run


def series(plans: Sequence[Plan], jobs: int, keep: Path, deadline: float) -> list[Outcome]:
    """`jobs` at a time; none begins after `deadline` (monotonic seconds). What a failed one leaves goes to `keep`."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        runs = [pool.submit(_one, plan, keep, deadline) for plan in plans]
        return [outcome for one in runs if (outcome := one.result())]


def _one(plan: Plan, keep: Path, deadline: float) -> Outcome | None:
    """None: it would begin after the deadline (monotonic seconds)."""
    if time.monotonic() >= deadline:
        return None
    name = f"seed {plan.seed} on {plan.database}"
    clock = f", the clock of {plan.clock.target} steps by {plan.clock.seconds:g} s" if plan.clock else ""
    pace = "" if plan.rate else f", no limits, {plan.connections} connections"
    unknown = ", what is never proven is sent again" if plan.resend else ""
    print(f"{name}: {plan.recipients} recipients, {len(plan.blows)} blows{pace}{unknown}{clock}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="dl-chaos-"))
    postgres = PostgresServer() if plan.database is Database.POSTGRESQL else None
    try:
        outcome = run(plan, folder, postgres, lambda text: print(f"  {name}: {text.strip()}", flush=True))
    except Exception:  # noqa: BLE001  # a run that broke is a run that failed; the others go on
        outcome = Outcome(plan, folder, [("", traceback.format_exc())])
    finally:
        if postgres:
            postgres.close()
    facts = ", ".join(f"{fact} {value}" for fact, value in outcome.facts.items() if value)
    print(f"  {name} {'passed' if outcome.passed else 'FAILED'} in {outcome.seconds:.0f} s ({facts})", flush=True)
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


def summary(outcomes: Sequence[Outcome]) -> int:
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
