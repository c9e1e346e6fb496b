"""The child of an import: `python -m producer.import_child`, spoken to by `producer.import_feed` over pipes."""

from __future__ import annotations

import gc
import marshal
import os
import pickle
import sys
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from producer.import_feed import read_frame, read_numbers, write_frame
from producer.import_work import Plan, Work
from producer.readers import FileError, Hint, open_table
from providers.accounts import open_provider


def main(commands: IO[bytes], answers: IO[bytes]) -> None:
    """Read the plan, say what the file is, take the numbers, give slices to the end."""
    gc.freeze()
    gc.set_threshold(500_000, 50, 50)  # rows make no cycles: looking for them is a sixth of the time
    plan, where, hint = pickle.loads(read_frame(commands))  # nosec B301  # noqa: S301 - from our own parent
    try:
        _import(plan, _open(where), hint, commands, answers)
    except FileError as error:
        _say(answers, "file error", (str(error.fault.value), error.text, error.row, error.column))


def _import(plan: Plan, source: BinaryIO | Path, hint: Hint, commands: IO[bytes], answers: IO[bytes]) -> None:
    table = open_table(source, hint)
    providers = {name: open_provider(account) for name, account in plan.accounts.items()}
    _say(answers, "table", (table.encoding, table.number))
    taken, opted_out = read_numbers(commands), read_numbers(commands)
    for part in Work(plan, providers, taken, opted_out).slices(table):
        _say(answers, "slice", tuple(part))
    _say(answers, "end", None)


def _open(where: str | tuple[int, int]) -> BinaryIO | Path:
    if isinstance(where, str):
        return Path(where)
    number, position = where
    file = cast(BinaryIO, os.fdopen(number, "rb"))
    file.seek(position)
    return file


def _say(answers: IO[bytes], kind: str, value: Any) -> None:
    write_frame(answers, marshal.dumps((kind, value)))


if __name__ == "__main__":
    try:
        main(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        os._exit(1)  # the parent is gone: nobody is left to be told
