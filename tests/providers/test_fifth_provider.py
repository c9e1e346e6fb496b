"""A provider more is one source file and one test file: shown with one that no other file of ours has heard of.

Its source is the one that docs/adding-a-provider.md explains. It is put beside the others; nothing is registered
anywhere. Then it is held to the contract that all providers keep, opened from the accounts file, and sent through the
real HTTP client.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import providers
from config.accounts import load_accounts
from config.settings import ROOT
from providers import registry
from providers.accounts import open_provider
from providers.http import HttpClient
from providers.registry import PROVIDERS
from tests.providers import test_contract as contract
from tests.support.cases import message
from tests.support.fates import Fate, story_of
from tests.support.raw_server import RawServer, answer, replies

PAGE = ROOT / "docs/adding-a-provider.md"
SOURCE = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)[0]

ACCOUNT = """
[accounts.mine]
provider = "acme"
base_url = "{base_url}"
credentials = {{ token = "ACME_TOKEN" }}
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The file is put beside the other adapters, and that is all."""
    (tmp_path / "acme.py").write_text(SOURCE, "utf-8")
    monkeypatch.setattr(providers, "__path__", [*providers.__path__, str(tmp_path)])
    _forget()
    yield "acme"
    sys.modules.pop("providers.acme", None)
    vars(providers).pop("acme", None)
    _forget()


def _forget() -> None:
    registry._module_names.cache_clear()
    registry._adapter_in.cache_clear()


def promises() -> dict[str, Any]:
    """Every promise of the contract that asks for nothing but a provider's name."""
    return {
        name: test
        for name, test in vars(contract).items()
        if name.startswith("test_") and list(inspect.signature(test).parameters) == ["name"]
    }


def test_it_is_found_without_being_listed_and_keeps_the_contract(acme: str) -> None:
    assert acme in PROVIDERS
    plain = {name: test for name, test in promises().items() if not inspect.iscoroutinefunction(test)}
    assert len(plain) >= 12
    for test in plain.values():
        test(acme)


async def test_its_look_ups_keep_the_contract_as_well(acme: str) -> None:
    asked = [test for test in promises().values() if inspect.iscoroutinefunction(test)]
    assert asked
    for test in asked:
        await test(acme)


async def test_an_account_of_it_sends_through_the_same_client(acme: str, tmp_path: Path) -> None:
    accepted, busy = answer(b'{"id": "a-1"}'), answer(b"<html>", "503 Busy")
    async with RawServer(replies(accepted, busy)) as server, HttpClient() as client:
        (tmp_path / "accounts.toml").write_text(ACCOUNT.format(base_url=f"http://127.0.0.1:{server.port}"))
        (account,) = load_accounts(tmp_path / "accounts.toml", {"ACME_TOKEN": "s3cr3t"}).values()
        adapter = open_provider(account)
        stories = [await story_of(client, adapter, [message()]) for _ in range(2)]
        assert [story.fates for story in stories] == [(Fate.ACCEPTED,), (Fate.UNKNOWN,)]
        assert server.requests[0].startswith(b"POST /send ")
