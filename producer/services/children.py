"""Child processes that never outlive us: each in a session of its own, ended in order, killed when they do not."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESTART_AFTER = 1.0  # seconds, doubled with every crash in a row
RESTART_MOST = 30.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `stop_seconds`: how long it may take to end after SIGTERM."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: float = 10.0
    log: Path | None = None


def _die_with_parent() -> None:
    """Runs in the child before exec. Linux only: elsewhere a killed parent leaves its children to the operator."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """One program, kept running."""

    def __init__(self, program: Program, tell: Callable[[str], None]) -> None:
        self.program = program
        self.restarts = 0
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ending = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    def ending(self) -> bool:
        return self._ending

    async def start(self) -> None:
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep-{self.program.name}")

    async def _spawn(self) -> None:
        output = self.program.log.open("ab") if self.program.log else None
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.program.command,
                env={**os.environ, **self.program.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        finally:
            if output:
                output.close()

    async def _keep(self) -> None:
        wait = RESTART_AFTER
        while not self._ending and self._process:
            started = asyncio.get_running_loop().time()
            code = await self._process.wait()
            if self.ending():
                return
            if asyncio.get_running_loop().time() - started > 60:
                wait = RESTART_AFTER
            self._tell(f"{self.program.name} ended with code {code}; starting it again in {wait:g} s")
            await asyncio.sleep(wait)
            wait = min(wait * 2, RESTART_MOST)
            self.restarts += 1
            await self._spawn()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL for the whole session."""
        self._ending = True
        process = self._process
        if process is None or process.returncode is not None:
            await self._end_keeper()
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self.program.stop_seconds)
        except TimeoutError:
            self._tell(f"{self.program.name} did not end in {self.program.stop_seconds:g} s and is killed")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever it started as well
        await process.wait()
        await self._end_keeper()

    async def _end_keeper(self) -> None:
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
