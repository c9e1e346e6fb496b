"""docker-compose.yml as Compose itself would read it: variables filled in, every service with its defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # ships no types

from config.settings import ROOT

COMPOSE = ROOT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<op>:\?|:-)(?P<more>[^}]*))?\})")
_UNITS = {"M": 2**20, "G": 2**30, "m": 2**20, "g": 2**30}


class MissingVariable(Exception):
    """`${NAME:?message}` without a value. The text is the message."""


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Compose's own rules, as far as the file uses them."""

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        found = variables.get(match["name"], "")
        if match["op"] == ":?" and not found:
            raise MissingVariable(match["more"])
        return found or (match["more"] if match["op"] == ":-" else "")

    return _VARIABLE.sub(value, text)


def raw() -> dict[str, Any]:
    """The document with anchors and merges resolved, variables not."""
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return document


def filled(node: Any, variables: Mapping[str, str]) -> Any:
    """A node of the document with its variables filled in."""
    match node:
        case str():
            return interpolate(node, variables)
        case dict():
            return {name: filled(item, variables) for name, item in node.items()}
        case list():
            return [filled(item, variables) for item in node]
        case _:
            return node


def services(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = filled(raw()["services"], variables)
    return found


def variables_named() -> set[str]:
    text = "\n".join(line for line in COMPOSE.read_text("utf-8").splitlines() if not line.lstrip().startswith("#"))
    return {match["name"] for match in _VARIABLE.finditer(text) if match["name"]}


def seconds(duration: str) -> float:
    """'40s' to 40."""
    matched = re.fullmatch(r"(\d+)(s|m)", duration)
    assert matched, duration
    return float(matched[1]) * {"s": 1, "m": 60}[matched[2]]


def size(text: str) -> int:
    """'512M' in bytes."""
    return int(text[:-1]) * _UNITS[text[-1]]


@dataclass(frozen=True, slots=True)
class Image:
    """What the Dockerfile's last stage says."""

    environment: Mapping[str, str]
    copied: tuple[str, ...]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    user: str


def instructions(path: Path) -> list[tuple[str, str]]:
    """(INSTRUCTION, arguments) of a Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word
    ]
