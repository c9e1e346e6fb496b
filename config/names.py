"""Every queue, task and beat name: where producer and workers meet without importing each other."""

from __future__ import annotations

from enum import StrEnum

CONTROL_QUEUE = "control"  # imports, schedules, dispatch
REPORTS_QUEUE = "reports"  # inbox, sweep
EVENTS_QUEUE = "events"  # outgoing events: a slow receiver holds up nothing else

SUBMIT_BATCH = "submit.batch"
POLL_REPORTS = "reports.poll"
RESOLVE_UNKNOWN = "unknown.resolve"
APPLY_REPORTS = "reports.apply"
PLAN_POLLS = "reports.plan_polls"
SWEEP = "sweep.run"
SNAPSHOT = "accounts.snapshot"
DELIVER_EVENTS = "events.deliver"
DISPATCH = "campaigns.dispatch"
SCHEDULE = "campaigns.schedule"
STEER = "campaigns.steer"
COPY = "campaigns.copy"
PURGE = "retention.purge"
TIDY = "campaigns.tidy"


class Order(StrEnum):
    """What an operator may want done to an account; the workers do it (column `account_status.order_word`)."""

    OPEN = "open"  # the breaker: nothing leaves until it is closed
    CLOSE = "close"
    UNBLOCK = "unblock"  # end the block after a 429 or a lock-out; the rate still ramps up


CONTROL_TASKS = (DISPATCH, SCHEDULE, STEER, COPY, PURGE, TIDY)
EVENTS_TASKS = (DELIVER_EVENTS,)
SHARED_QUEUES = (CONTROL_QUEUE, REPORTS_QUEUE, EVENTS_QUEUE)
REPORTS_TASKS = (APPLY_REPORTS, PLAN_POLLS, SWEEP)
ACCOUNT_TASKS = (POLL_REPORTS, RESOLVE_UNKNOWN, SNAPSHOT)


def submit_queue(account: str) -> str:
    """Where an account's batches wait."""
    return f"submit.{account}"


def account_queue(account: str) -> str:
    """Where an account's polls, look-ups and snapshots wait: apart from the batches, so that neither starves."""
    return f"account.{account}"


def queues_of(account: str) -> tuple[str, str]:
    return submit_queue(account), account_queue(account)


def all_queues(accounts: list[str]) -> list[str]:
    return [*SHARED_QUEUES, *(queue for account in accounts for queue in queues_of(account))]
