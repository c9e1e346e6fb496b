"""Every command of the pages is run, in the order of its page, in a project as a newcomer has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import ROOT
from tests.docs.blocks import PAGES, REASONS, Block, blocks_of, name_of
from tests.docs.forms import faults
from tests.docs.project import Project
from tests.support.redis_server import EmbeddedRedis

SHELL = {page: [block for block in blocks_of(page) if block.is_shell] for page in PAGES}
RUN = {page: [block for block in blocks if block.reason is None] for page, blocks in SHELL.items()}

WITH_EVERYTHING = ("docs/getting-started.md", "README.md", "docs/api.md", "docs/limits.md")
"""Pages that need all programs; one project serves them, in this order, so that they are started once."""

SANDBOX = "cp examples/sandbox.env .env\nexport DRUMLINE_STATE_DIR=$PWD/var\nmkdir -p var\n"
PEOPLE = "printf 'phone,name,order\\n+447700900101,Ama,1\\n+447700900102,Ben,2\\n' > people.csv\n"
API = "stay http://127.0.0.1:$DRUMLINE_API_PORT/healthz drumline api\n"
CAMPAIGN = (
    "drumline send people.csv --template 'Hi {{ name }}' --sender MyShop --route qikli --draft 2>/dev/null >/dev/null\n"
)

SETUP = {
    "docs/sending.md": SANDBOX + PEOPLE + "echo +447700900123 > stopped.txt; echo 'Hi {{ name }}' > welcome.txt\n",
    "docs/delivery-reports.md": SANDBOX + PEOPLE + CAMPAIGN,
    "docs/operations.md": SANDBOX + PEOPLE + CAMPAIGN,
    "docs/security.md": SANDBOX + PEOPLE + CAMPAIGN,
}
"""What a page takes for granted: files that a reader has, a campaign that is there."""


def others() -> list[Path]:
    return [page for page, blocks in RUN.items() if blocks and name_of(page) not in WITH_EVERYTHING]


@pytest.fixture
def project(redis_server: EmbeddedRedis) -> Iterator[Project]:
    redis_server.wipe()
    with Project({"DRUMLINE_REDIS_URL": redis_server.url}) as made:
        yield made


@pytest.mark.parametrize("page", others(), ids=name_of)
def test_the_commands_of_a_page_do_what_they_say(page: Path, project: Project) -> None:
    needs_api = API if any("curl" in block.code for block in RUN[page]) else ""
    setup = SETUP.get(name_of(page), SANDBOX + PEOPLE)
    project.run(RUN[page], setup + needs_api)


@pytest.mark.timeout(300)
def test_a_newcomer_who_types_what_the_pages_say_gets_a_campaign_through() -> None:
    with Project({"DRUMLINE_SHUTDOWN_SECONDS": "3"}) as project:
        started = [block for name in WITH_EVERYTHING for block in RUN[ROOT / name]]
        printed = project.run(started, PEOPLE)
    assert "4 of 4 final" in printed
    assert "delivered" in printed


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_named_in_a_block_exists(page: Path) -> None:
    wrong = {block.place: found for block in SHELL[page] if (found := faults(block.code))}
    assert wrong == {}


def test_a_block_is_left_out_for_one_of_few_reasons_only() -> None:
    given = {block.reason for blocks in SHELL.values() for block in blocks} - {None}
    assert given <= REASONS


def test_no_more_is_left_out_than_has_to_be() -> None:
    left_out = [block.place for blocks in SHELL.values() for block in blocks if block.reason]
    total = sum(map(len, SHELL.values()))
    assert total > 25
    assert len(left_out) <= total // 2


# --- the checks themselves -------------------------------------------------------------------------------------------


def block(code: str) -> Block:
    return Block(ROOT / "README.md", 1, "sh", code, None)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("drumline sned people.csv", "drumline has no command sned"),
        ("./drumline send a.csv --tempalte x", "drumline send has no option --tempalte"),
        ("drumline keys crate shop", "drumline keys has no command crate"),
        ("ID=$(drumline campaings --json)", "drumline has no command campaings"),
        ("make demoo", "make has no target demoo"),
        ("docker compose exec apy true", "no service apy"),
        ("docker compose exec api python -m producer kees create x", "drumline has no command kees"),
        ("cp examples/sandbox.evn .env", "no file examples/sandbox.evn"),
    ],
)
def test_what_does_not_exist_is_found(code: str, fault: str) -> None:
    assert faults(code + "\n") == [fault]


@pytest.mark.parametrize(
    "code",
    [
        "drumline send p.csv --template 'Hi -- there' --route a=1 | cat",
        "drumline sandbox --port 8900",
        "make chaos SEEDS=20 DB=both",
        "docker compose up -d --scale worker-qikli=2",
        "cat > a.csv <<'END'\ndrumline nonsense\nEND\n",
        "cp config/accounts.example.toml config/accounts.toml   # drumline nothing",
    ],
)
def test_what_exists_is_not_complained_of(code: str) -> None:
    assert faults(code + "\n") == []


def test_a_command_that_fails_fails_its_page(project: Project) -> None:
    with pytest.raises(AssertionError, match=r"FAILED at README\.md:1: drumline status nothing"):
        project.run([block("drumline status nothing\necho never")], SANDBOX)
