"""Every setting is documented, and no page names one that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.settings import ROOT, SECRETS, Settings
from producer.api.options import ApiOptions
from tests.docs.blocks import PAGES, name_of

PAGE = (ROOT / "docs/settings.md").read_text("utf-8")
_NAME = re.compile(r"\bDRUMLINE_[A-Z][A-Z_]*[A-Z]\b")
NO_FIELDS = frozenset({"DRUMLINE_X"})


def variables() -> set[str]:
    own = {f"DRUMLINE_{name.upper()}" for name in Settings.model_fields}
    return own | {f"DRUMLINE_API_{name.upper()}" for name in ApiOptions.model_fields}


def documented() -> set[str]:
    """Names in the first cell of a row."""
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `DRUMLINE_")]
    return {name for row in rows for name in _NAME.findall(row)}


def test_every_setting_stands_in_the_table_and_nothing_else_does() -> None:
    assert documented() == variables()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_setting_that_does_not_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    files = {f"DRUMLINE_{name.upper()}_FILE" for name in SECRETS}
    assert set(_NAME.findall(text)) - variables() - files - NO_FIELDS == set()


@pytest.mark.parametrize("file", [".env.example", "examples/sandbox.env", "docker-compose.yml", "Dockerfile"])
def test_no_example_sets_what_does_not_exist(file: str) -> None:
    found = set(_NAME.findall((ROOT / file).read_text("utf-8")))
    files = {f"DRUMLINE_{name.upper()}_FILE" for name in SECRETS}
    assert found - variables() - files - {"DRUMLINE_COMPOSE_ACCOUNTS"} == set()  # the compose file's own


def test_every_secret_is_said_to_be_one() -> None:
    for name in SECRETS:
        (row,) = [line for line in PAGE.splitlines() if line.startswith("|") and f"`DRUMLINE_{name.upper()}`" in line]
        assert "Secret" in row, name


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_the_default_that_is_told_is_the_default(name: str) -> None:
    default = Settings.model_fields[name].get_default()
    (row,) = [line for line in PAGE.splitlines() if line.startswith("|") and f"`DRUMLINE_{name.upper()}`" in line]
    told = row.split("|")[2].replace("`", "")
    assert any(word in told for word in words_for(default)), (row, default)


def words_for(default: object) -> tuple[str, ...]:
    """How a default may be told."""
    match default:
        case None:
            return ("none", "made once")
        case "":
            return ("empty",)
        case bool():
            return (str(default).lower(),)
        case float():
            return (f"{default:g}",)
        case _:
            return (str(default),)
