"""Whether a command could be meant: the subcommand, its options, the target, the service and the file exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer.main

from config.settings import ROOT
from producer.cli import app

_TOOLS = re.compile(r"(?:^|[\s;&|(])(?:\./)?(drumline|make|docker compose|python -m producer)\s")
_OWN_FILE = re.compile(r"(?:config|examples|docs|tests|bench|sandbox)/[\w./-]+\.\w+")
_ENDS = ("|", "||", "&&", ";", ">", ">>", "<", "2>", "&")


def commands_of(code: str) -> Iterator[list[str]]:
    """Simple commands of a shell text, word by word; here-documents are left out."""
    text = re.sub(r"<<'?(\w+)'?.*?\n\1\n", "\n", code, flags=re.S)
    text = text.replace("\\\n", " ").replace("$(", "\n").replace("`", "\n")
    for line in text.splitlines():
        yield from _split(_words(line))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def _split(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in words:
        if word in _ENDS:
            yield from [command] if command else []
            command = []
        else:
            command.append(word)
    yield from [command] if command else []


def faults(code: str) -> list[str]:
    """What does not exist of what these commands name."""
    found = [fault for words in commands_of(code) for fault in _fault(words)]
    missing = [f"no file {name}" for name in _OWN_FILE.findall(code) if not _there(name)]
    return [*found, *missing]


MADE_BY_A_USER = frozenset({"config/accounts.toml", "config/prices.toml"})


def _there(name: str) -> bool:
    return (ROOT / name).exists() or name in MADE_BY_A_USER


def _fault(words: list[str]) -> Iterator[str]:
    words = [word for word in words if not re.fullmatch(r"[A-Z_]+=.*", word)]
    match words:
        case [("drumline" | "./drumline"), *rest]:
            yield from _drumline(rest)
        case ["docker", "compose", *rest]:
            yield from _compose(rest)
        case ["make", *rest]:
            yield from (f"make has no target {word}" for word in rest if "=" not in word and word not in _targets())
        case _:
            yield from ()


def _drumline(words: list[str]) -> Iterator[str]:
    command: Any = _root()
    path = "drumline"
    while (commands := getattr(command, "commands", None)) and words and not words[0].startswith("-"):
        inner = commands.get(words[0])
        if inner is None:
            yield f"{path} has no command {words[0]}"
            return
        path, command, words = f"{path} {words[0]}", inner, words[1:]
    if path == "drumline sandbox":
        return  # its options are those of `python -m sandbox`
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h"}
    given = [word.partition("=")[0] for word in words if word.startswith("-") and len(word) > 1]
    yield from (f"{path} has no option {word}" for word in given if word not in known and not word[1:].isdigit())


def _compose(words: list[str]) -> Iterator[str]:
    if "producer" in words:
        yield from _drumline(words[words.index("producer") + 1 :])
        words = words[: words.index("producer")]
    named = [
        word.partition("=")[0] for at, word in enumerate(words) if at and words[at - 1] in {"exec", "--scale", "run"}
    ]
    yield from (f"no service {name}" for name in named if not name.startswith("-") and name not in _services())


@cache
def _root() -> Any:
    return typer.main.get_command(app)


@cache
def _targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))


@cache
def _services() -> frozenset[str]:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    services = text.partition("\nservices:\n")[2]
    return frozenset(re.findall(r"^  ([a-z][\w-]*):", re.split(r"^\S", services, maxsplit=1, flags=re.M)[0], re.M))
