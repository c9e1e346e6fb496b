"""The documentation's links lead somewhere: to files that are there, to tests of that name, to headings."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.blocks import prose_of
from tests.docs.forms import faults

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def links(page: Path) -> list[tuple[Path, str]]:
    """Files and fragments of a page's links into this repository."""
    found = [target for target in _LINK.findall(page.read_text("utf-8")) if "://" not in target]
    split = [target.partition("#") for target in found]
    return [((page.parent / path).resolve() if path else page, fragment) for path, _, fragment in split]


@cache
def names_in(path: Path) -> frozenset[str]:
    """Test functions of a Python file, headings of a page as they are linked to."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return frozenset(re.findall(r"^(?:async )?def (test_\w+)", text, re.M))
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    missing = [str(path) for path, _ in links(page) if not path.exists()]
    unnamed = [
        f"{path.name}#{name}" for path, name in links(page) if name and path.is_file() and name not in names_in(path)
    ]
    assert (missing, unnamed) == ([], [])


def test_every_page_can_be_reached_from_the_first_one() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting += [path for path, _ in links(page) if path.suffix == ".md" and path not in reached]
    assert set(PAGES) - reached == set()


def test_every_need_has_its_page() -> None:
    index = {path.name for path, _ in links(ROOT / "docs/README.md")}
    needs = (
        "getting-started", "sending", "campaigns", "limits", "reliability", "delivery-reports", "api", "operations",
        "security", "settings", "adding-a-provider", "architecture", "decisions", "sandbox",
    )  # fmt: skip
    assert {f"{need}.md" for need in needs} <= index


_NAMED_COMMAND = re.compile(r"`(drumline [a-z][^`]*)`")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_command_named_in_the_text_exists(page: Path) -> None:
    named = [command.replace("…", "") for command in _NAMED_COMMAND.findall(prose_of(page))]
    wrong = {command: found for command in named if (found := faults(command + "\n"))}
    assert wrong == {}


def test_every_cell_of_the_matrix_names_its_test_or_says_that_there_is_nothing() -> None:
    rows = [
        line for line in (ROOT / "docs/providers/README.md").read_text("utf-8").splitlines() if line.startswith("| ")
    ]
    cells = [cell.strip() for row in rows[1:] for cell in row.strip("|").split(" | ")[1:] if "**" not in row]
    wrong = [
        cell for cell in cells if cell not in ("–", "–|") and not re.fullmatch(r"\[[^\]]+\]\([^)]+#test_\w+\)", cell)
    ]
    matrix = [cell for cell in wrong if "tests/" in cell or cell == ""]
    assert len(cells) > 150
    assert matrix == []


def test_every_provider_has_a_page_with_the_sections_that_a_user_looks_for() -> None:
    for name in ("qikli", "quicksms", "cliqtel", "qikberry", "generic"):
        text = (ROOT / f"docs/providers/{name}.md").read_text("utf-8")
        for wanted in ("What is supported", "Setting up", "Limits", "Not verified", "drumline doctor"):
            assert wanted in text, f"{name}.md has no {wanted!r}"
