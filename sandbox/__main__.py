"""`python -m sandbox`: the four providers on loopback until SIGTERM or SIGINT."""

import argparse
import asyncio
import gc
import signal
import sys
import tomllib
from pathlib import Path
from typing import Any

import orjson

from sandbox.registry import provider_classes
from sandbox.server import Options, serve
from sandbox.settings import SettingsError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandbox", description="Simulators of Qikli, QuickSMS, Cliqtel and Qikberry, with faults to switch on."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default): any free port")
    parser.add_argument("--config", type=Path, help="TOML file, one table per provider; see docs/sandbox.md")
    parser.add_argument("--ready-file", type=Path, help="also write the announcement (one JSON line) to this file")
    parser.add_argument("--seed", type=int, default=0, help="of every random decision")
    parser.add_argument(
        "--fast", action="store_true", help="reports after 50 ms, webhook retries a thousand times faster"
    )
    parser.add_argument("--dlr-delay", type=float, nargs="+", metavar="SECONDS", help="one value, or min and max")
    parser.add_argument("--limit-scale", type=float, help="multiply every documented limit")
    parser.add_argument("--no-limits", action="store_true", help="enforce no rate limits")
    parser.add_argument(
        "--callback-url", help="default webhook URL of all accounts; {provider} is replaced by the name"
    )
    return parser


def _config(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The file's tables over the command line's common switches."""
    common: dict[str, Any] = {}
    if args.dlr_delay:
        common["dlr_delay"] = [args.dlr_delay[0], args.dlr_delay[-1]]
    if args.limit_scale is not None:
        common["limit_scale"] = args.limit_scale
    if args.no_limits:
        common["limits"] = []
    config = {cls.name: (cls.fast() if args.fast else {}) | common for cls in provider_classes()}
    if args.callback_url:
        for name, table in config.items():
            table["callback_url"] = args.callback_url.replace("{provider}", name)
    for name, changes in _file(args.config).items():
        config.setdefault(name, {}).update(changes)
    return config


def _file(path: Path | None) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8")) if path else {}


async def _run(args: argparse.Namespace, options: Options) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    running = await serve(options)
    _spare_the_collector()
    line = orjson.dumps(running.announcement()).decode() + "\n"
    if args.ready_file:
        _publish(args.ready_file, line)
    sys.stdout.write(line)
    sys.stdout.flush()
    await stop.wait()
    await running.stop()


def _spare_the_collector() -> None:
    """The ledger only grows, so what outlived one collection is never walked again: looking through 100,000 new objects
    stood still for 50 ms, and requests that waited meanwhile counted as one burst against strict windows."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 1_000_000, 1_000_000)
    gc.callbacks.append(_freeze_survivors)


def _freeze_survivors(phase: str, _info: dict[str, int]) -> None:
    if phase == "stop":
        gc.freeze()


def _publish(path: Path, line: str) -> None:
    """Whole or not at all: whoever waits for the file never reads half a line."""
    draft = path.with_name(path.name + ".part")
    draft.write_text(line, encoding="utf-8")
    draft.replace(path)


def main() -> int:
    args = _parser().parse_args()
    try:
        options = Options(args.host, args.port, args.seed, _config(args))
        _loop_runner()(_run(args, options))
    except (SettingsError, OSError, tomllib.TOMLDecodeError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 2
    return 0


def _loop_runner() -> Any:
    """uvloop where it exists (not on Windows), else the standard loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


if __name__ == "__main__":
    sys.exit(main())
