"""Commands that start things: up, demo, worker, beat, api, flower, sandbox."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from config import names
from config.accounts import AccountsError, load_accounts
from config.alive import LATELY, silent_for
from config.settings import ROOT, Settings, settings
from producer.api.options import read_options
from producer.cli.output import err, say
from producer.services.stack import GRACE_SECONDS, Stack, StartError, beat_command, groups, threads_for, worker_command

Everything = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    for command in (up, demo, worker, alive, beat, api, flower):
        app.command()(command)
    app.command(context_settings=Everything)(sandbox)


def up(
    simulate: Annotated[bool, typer.Option("--sandbox", help="With simulated providers.")] = False,
) -> None:
    """Start everything on this machine and stay: Redis (if none is configured), API, workers, beat, Flower."""
    if simulate:
        from producer.demo.run import run_demo  # other commands shall not pay for importing it

        _run(lambda: run_demo(settings(), err, stay=True), interrupted=0)
    else:
        _run(lambda: _up(settings()), interrupted=0)


def demo() -> None:
    """Send the example campaign through four simulated providers, and compare every message with their ledger."""
    from producer.demo.run import run_demo  # other commands shall not pay for importing it

    _run(lambda: run_demo(settings(), err, stay=False))


async def _up(configured: Settings) -> int:
    load_accounts(configured.accounts_file)  # a wrong file or a missing secret is said before anything starts
    read_options()  # so is a wrong setting of the API
    async with Stack(configured, say) as stack:
        await stack.redis()
        stack.migrate()
        flower = await stack.flower()
        await stack.workers()
        await stack.beat()
        await stack.answering("api", await stack.api())
        await stack.answering("flower", flower)
        say(f"Dashboard   {stack.urls['api']}  (sign in with a key: drumline keys create me --scope admin)")
        say(f"API         {stack.urls['api']}/docs")
        say(f"Flower      {stack.urls['flower']}")
        say(f"logs        {stack.logs}")
        say("Ctrl-C ends everything.")
        await asyncio.Event().wait()
    return 0


def worker(
    group: Annotated[list[str] | None, typer.Option(help="Worker group or account; default: all.")] = None,
    control: Annotated[bool, typer.Option(help="Also dispatch, apply reports and sweep.")] = True,
    only_control: Annotated[bool, typer.Option(help="Nothing but that.")] = False,
    threads: Annotated[int | None, typer.Option(help="Tasks at once; default: enough for its accounts.", min=1)] = None,
    name: Annotated[str, typer.Option(help="Host name of the worker in Flower.")] = "worker",
) -> None:
    """Run one worker process for some accounts' queues."""
    chosen = [] if only_control else _members(group or [])
    queues = [queue for account in chosen for queue in names.queues_of(account)]
    if control or only_control:
        queues += names.SHARED_QUEUES
    known = load_accounts(settings().accounts_file, secrets=False)
    _become(worker_command(name, queues, threads or threads_for([known[account] for account in chosen])))


def _members(wanted: list[str]) -> list[str]:
    """The accounts of these groups (or accounts); all of them if none is named. Raises AccountsError."""
    accounts = load_accounts(settings().accounts_file)
    by_group = groups(accounts.values())
    chosen = [member for name in wanted or by_group for member in by_group.get(name, [name])]
    for account in chosen:
        if account not in accounts:
            known = ", ".join(sorted({*accounts, *by_group}))
            raise AccountsError(f"group: {account!r} is neither an account nor a group; known are {known}")
    return chosen


def alive(
    name: Annotated[str, typer.Option(help="The worker's name, as given to `drumline worker`; or `beat`.")] = "worker",
) -> None:
    """Exit 0 if the worker of this name on this host, or beat, gave a sign of life lately: a health check."""
    silent = silent_for(settings().state_dir, name)
    if silent > LATELY:
        raise StartError(f"{name}@{socket.gethostname()}: no sign of life for {silent:.0f} s")


def beat() -> None:
    """Run the clock. Any number of them may run: every tick is idempotent."""
    _become(beat_command())


def api() -> None:
    """Run the REST API and the webhook receivers."""
    configured = settings()
    _become(
        (
            sys.executable, "-m", "uvicorn", "producer.api.app:app",
            "--host", configured.api_host, "--port", str(configured.api_port), "--no-access-log",
            "--timeout-graceful-shutdown", str(GRACE_SECONDS),
        )
    )  # fmt: skip


def flower() -> None:
    """Run Flower, behind a password."""
    configured = settings()
    if configured.flower_password is None:
        raise AccountsError("DRUMLINE_FLOWER_PASSWORD is not set: Flower shows every task and can end workers")
    state = configured.state_dir / "flower.db"
    state.parent.mkdir(parents=True, exist_ok=True)
    # The password goes by the environment, not by the command line that every user of the machine can read.
    os.environ["FLOWER_BASIC_AUTH"] = f"{configured.flower_user}:{configured.flower_password.get_secret_value()}"
    _become(
        (
            sys.executable, "-m", "celery", "-A", "config.celery_app", "flower",
            f"--address={configured.flower_host}", f"--port={configured.flower_port}", "--persistent=True",
            f"--db={state}", "--state_save_interval=10000", "--purge_offline_workers=60", "--logging=warning",
        )
    )  # fmt: skip


def sandbox(context: typer.Context) -> None:
    """Run the simulators of the four providers. Options are those of `python -m sandbox`."""
    _become((sys.executable, "-m", "sandbox", *context.args))


def _become(command: tuple[str, ...]) -> None:
    """Replace this process, so that signals reach the program itself."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    sys.stdout.flush()
    os.execv(command[0], command)  # nosec B606  # noqa: S606 - our own interpreter with a fixed argument list


def _run(work: Callable[[], Awaitable[int]], interrupted: int = 130) -> None:
    """Run until done or until Ctrl-C (or SIGTERM, then exit code `interrupted`); all that was started is ended."""
    raise typer.Exit(asyncio.run(_until_signal(work, interrupted)))


async def _until_signal(work: Callable[[], Awaitable[int]], interrupted: int) -> int:
    task = asyncio.ensure_future(work())
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            say("ending…")
            task.cancel()

    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop)
    try:
        return await task
    except asyncio.CancelledError:
        return interrupted if stopped else 1
