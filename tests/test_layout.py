"""What is imported is what lies here, and every queue has somebody who works on it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config import names
from config.accounts import load_accounts
from config.celery_app import make_app
from config.settings import ROOT, Settings
from producer.services.stack import groups, worker_command

HERE = Path(__file__).resolve().parent.parent
SETTINGS = Settings(redis_url="redis://127.0.0.1:1/0", accounts_file=ROOT / "config" / "accounts.sandbox.toml")


@pytest.mark.parametrize("room", ["config", "models", "providers", "producer", "workers", "sandbox"])
def test_a_room_is_the_one_of_this_repository(room: str) -> None:
    """Generic names: a foreign `config` in site-packages would win in silence."""
    found = importlib.import_module(room).__file__
    assert found is not None
    assert Path(found).resolve().is_relative_to(HERE)


def consumed() -> set[str]:
    """Every queue that some worker of the stack listens to."""
    accounts = load_accounts(SETTINGS.accounts_file, secrets=False)
    commands = [worker_command("control", names.SHARED_QUEUES)]
    for group, members in groups(accounts.values()).items():
        queues = [queue for account in members for queue in names.queues_of(account)]
        commands.append(worker_command(group, queues))
    return {queue for command in commands for queue in command[command.index("--queues") + 1].split(",")}


def test_every_queue_is_worked_on_by_some_worker_of_the_stack() -> None:
    declared = {queue.name for queue in make_app(SETTINGS).conf.task_queues}
    assert declared == consumed()


def test_every_tick_of_beat_goes_to_a_queue_that_is_worked_on() -> None:
    app = make_app(SETTINGS)
    for tick in app.conf.beat_schedule.values():
        assert tick["options"]["queue"] in consumed()


def test_every_named_task_is_there_in_a_worker() -> None:
    """In a process of its own: the app is made once, from that process's environment."""
    code = "from config.celery_app import app; app.loader.import_default_modules(); print(*app.tasks)"
    environment = {
        **os.environ,
        "DRUMLINE_ACCOUNTS_FILE": str(SETTINGS.accounts_file),
        "DRUMLINE_REDIS_URL": SETTINGS.redis_url,
    }
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    wanted = {*names.CONTROL_TASKS, *names.REPORTS_TASKS, *names.EVENTS_TASKS, *names.ACCOUNT_TASKS, names.SUBMIT_BATCH}
    assert wanted <= set(found.stdout.split())


def test_jobs_are_acknowledged_early_and_carry_json_alone() -> None:
    conf = make_app(SETTINGS).conf
    assert (conf.task_acks_late, conf.accept_content, conf.worker_prefetch_multiplier) == (False, ["json"], 1)
    assert conf.result_backend is None
