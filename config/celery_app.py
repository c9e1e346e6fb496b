"""The Celery app: every queue, every task's route, every beat tick, and the settings that matter on Redis.

`python -m celery -A config.celery_app worker …`. Tasks live in `producer.tasks` and `workers.tasks`, imported by name.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery import Celery
from celery.signals import heartbeat_sent, setup_logging, task_postrun, task_prerun, worker_init, worker_shutdown
from kombu import Queue

from config import names, tracing
from config.accounts import load_accounts
from config.logging import configure_logging
from config.settings import Settings, settings
from config.steady import steady

PURGE_EVERY = 300.0  # seconds


def make_app(configured: Settings) -> Celery:
    """An app for these settings. Accounts are read without secrets: only their names make queues."""
    accounts = list(load_accounts(configured.accounts_file, secrets=False))
    made = Celery("drumline", include=["producer.tasks", "workers.tasks"])
    made.conf.update(
        broker_url=configured.broker_url(),
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(name) for name in names.all_queues(accounts)],
        task_default_queue=names.CONTROL_QUEUE,
        task_create_missing_queues=False,
        task_routes=_routes,
        # Early acknowledgement: the lease in SQL protects the work, not the broker's redelivery.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_soft_shutdown_timeout=configured.shutdown_seconds,
        worker_hijack_root_logger=False,
        # Flower asks all workers for events, every five seconds. Where nobody does, none are sent: they are a third of
        # what Celery itself costs.
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": 900,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,
            "socket_keepalive": True,
            "global_keyprefix": "drumline:",
            "queue_order_strategy": "round_robin",
        },
        broker_connection_max_retries=None,  # Redis may be away for hours: nobody has to start the workers again
        beat_schedule=_beat(accounts, configured),
        beat_scheduler="config.clock:Clock",
        beat_max_loop_interval=1,
        timezone="UTC",
    )
    return made


def _routes(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **_: Any) -> dict[str, str] | None:
    """Shared tasks have their queue by name; an account's tasks are sent with an explicit queue."""
    if name in names.CONTROL_TASKS:
        return {"queue": names.CONTROL_QUEUE}
    if name in names.REPORTS_TASKS:
        return {"queue": names.REPORTS_QUEUE}
    if name in names.EVENTS_TASKS:
        return {"queue": names.EVENTS_QUEUE}
    return None


def _tick(task: str, every: float, queue: str, *args: str) -> dict[str, Any]:
    """Without an expiry: that is a date by beat's clock, and a worker whose clock is ahead would take no tick."""
    return {"task": task, "schedule": steady(every), "args": args, "options": {"queue": queue}}


def _beat(accounts: list[str], configured: Settings) -> dict[str, Any]:
    shared = {
        "dispatch": _tick(names.DISPATCH, 1.0, names.CONTROL_QUEUE),
        "schedule": _tick(names.SCHEDULE, 1.0, names.CONTROL_QUEUE),
        "steer": _tick(names.STEER, 1.0, names.CONTROL_QUEUE),
        "tidy": _tick(names.TIDY, 60.0, names.CONTROL_QUEUE),
        "apply-reports": _tick(names.APPLY_REPORTS, 1.0, names.REPORTS_QUEUE),
        "plan-polls": _tick(names.PLAN_POLLS, 1.0, names.REPORTS_QUEUE),
        "deliver-events": _tick(names.DELIVER_EVENTS, 1.0, names.EVENTS_QUEUE),
        "sweep": _tick(names.SWEEP, configured.sweep_seconds, names.REPORTS_QUEUE),
    }
    snapshots = {
        f"snapshot-{account}": _tick(names.SNAPSHOT, 2.0, names.account_queue(account), account) for account in accounts
    }
    purge = {"purge": _tick(names.PURGE, PURGE_EVERY, names.CONTROL_QUEUE)} if configured.purge_after_days else {}
    return {**shared, **snapshots, **purge}


@worker_init.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def _trace_worker(**_: Any) -> None:
    if settings().tracing_endpoint:
        from config import tracing_celery

        tracing.start(settings(), "worker")
        tracing_celery.connect()


@heartbeat_sent.connect  # type: ignore[untyped-decorator]  # as above
def _worker_lives(sender: Any = None, **_: Any) -> None:
    """Every two seconds, as long as the worker has its connection to Redis."""
    from config.clock import say_alive  # the API has no use for beat

    say_alive(sender.eventer.hostname.partition("@")[0])


@task_prerun.connect  # type: ignore[untyped-decorator]  # as above
def _name_task(task_id: str = "", task: Any = None, **_: Any) -> None:
    """Every line that a task logs says which task it was; the coroutines it starts take this along."""
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)


@task_postrun.connect  # type: ignore[untyped-decorator]  # as above
def _forget_task(**_: Any) -> None:
    structlog.contextvars.unbind_contextvars("task", "task_id")


@worker_shutdown.connect  # type: ignore[untyped-decorator]  # as above
def _last_spans(**_: Any) -> None:
    tracing.stop()


@setup_logging.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def _use_our_logging(**_: Any) -> None:
    """Celery's own set-up would print numbers unmasked."""
    configured = settings()
    configure_logging(configured.log_format, configured.log_level)


def __getattr__(name: str) -> Celery:
    """`app` is made on first use, so that importing this module needs no environment."""
    if name not in {"app", "celery"}:
        raise AttributeError(name)
    made = make_app(settings())
    globals()["app"] = globals()["celery"] = made
    return made
