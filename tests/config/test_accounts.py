"""The accounts file: every wrong key is told by file, place, what was found and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.accounts import Account, AccountsError, Counts, Limit, Poll, Webhook, load_accounts, parse_duration
from config.settings import ROOT

GOOD = """
[accounts.acme]
provider = "quicksms"
base_url = "https://api.example.com/v2"
credentials = { api_key = "ACME_KEY" }
limits = [{ limit = 60, per = "1m" }, { limit = 10, per = "250ms", counts = "messages" }]
poll_limits = []
max_connections = 7
request_cap = 100
timeout = "5s"
group = "fast"
senders = ["MyStore"]
sender = "Own"
poll = { every = "2m", limit = 50 }
webhook = { push = true, secret = "ACME_HOOK", token = "ACME_TOKEN" }
options = { anything = 1 }
"""
SECRETS = {"ACME_KEY": "k3y", "ACME_HOOK": "h00k", "ACME_TOKEN": "t0ken"}


def load(tmp_path: Path, text: str, *, secrets: bool = True) -> dict[str, Account]:
    file = tmp_path / "accounts.toml"
    file.write_text(text, "utf-8")
    return load_accounts(file, SECRETS, secrets=secrets)


def test_everything_a_file_can_say_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD)["acme"] == Account(
        name="acme",
        provider="quicksms",
        base_url="https://api.example.com/v2",
        credentials={"api_key": "k3y"},
        limits=(Limit(60, 60.0), Limit(10, 0.25, Counts.MESSAGES)),
        poll_limits=(),
        max_connections=7,
        request_cap=100,
        timeout=5.0,
        group="fast",
        senders=("MyStore",),
        sender="Own",
        poll=Poll(120.0, 50),
        webhook=Webhook(True, "h00k", "t0ken"),
        options={"anything": 1},
    )


@pytest.mark.parametrize("token", ["a/b", "a b", "a\n", "tök", "a%2Fb", "a?b", "a#b", "a+b", "..", ""])
def test_a_token_that_an_address_would_change_is_refused_by_its_variable_and_never_shown(
    tmp_path: Path, token: str
) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(GOOD, "utf-8")
    with pytest.raises(AccountsError) as caught:
        load_accounts(file, {**SECRETS, "ACME_TOKEN": token})
    said = str(caught.value)
    assert f"{file}: accounts.acme.webhook.token: what ACME_TOKEN holds" in said
    assert "`openssl rand -hex 24`" in said
    assert len(token) < 3 or token not in said


def test_a_token_of_a_file_is_looked_at_like_that_of_a_variable(tmp_path: Path) -> None:
    file, held = tmp_path / "accounts.toml", tmp_path / "token"
    file.write_text(GOOD, "utf-8")
    named = {"ACME_KEY": "k3y", "ACME_HOOK": "h00k", "ACME_TOKEN_FILE": str(held)}
    held.write_text("A-z_0.9~\n")  # the end of the line is none of the token's
    assert load_accounts(file, named)["acme"].webhook.token == "A-z_0.9~"
    held.write_text("two words\n")
    with pytest.raises(AccountsError, match=r"accounts\.acme\.webhook\.token"):
        load_accounts(file, named)


def test_the_least_a_file_can_say_is_enough(tmp_path: Path) -> None:
    account = load(tmp_path, '[accounts.a]\nprovider = "generic"\nbase_url = "http://127.0.0.1:1"')["a"]
    assert (account.limits, account.poll_limits, account.worker_group, account.poll.every) == ((), None, "a", 15.0)


@pytest.mark.parametrize("name", ["accounts.example.toml", "accounts.sandbox.toml"])
def test_the_example_files_can_be_used_as_they_are(name: str) -> None:
    assert set(load_accounts(ROOT / "config" / name, {}, secrets=False)) >= {"qikli", "quicksms", "cliqtel", "qikberry"}


WRONG = [
    ("", "no [accounts.NAME] table found; expected at least one"),
    ("accounts = 5", "accounts: found 5, expected a table"),
    ("acounts = {}", "the file: unknown key 'acounts', expected one of accounts"),
    ("[accounts.Acme]", "accounts.Acme: found 'Acme', expected a name of lower-case letters"),
    ("[accounts.a]\nbase_url = 'http://x'", "accounts.a.provider: found None, expected a text"),
    ("[accounts.a]\nprovider = 'x'", "accounts.a.base_url: found None, expected a text"),
    ("@base_url = 'ftp://x'", "accounts.a.base_url: found 'ftp://x', expected an address like"),
    ("@base_url = 'https://user:pw@x'", "accounts.a.base_url: found"),
    ("@provder = 'x'", "accounts.a: unknown key 'provder', expected one of base_url"),
    ("@limits = 5", "accounts.a.limits: found 5, expected a list like"),
    ("@limits = [{ limit = 0, per = '1s' }]", "accounts.a.limits[0].limit: found 0, expected a whole number"),
    ("@limits = [{ limit = true, per = '1s' }]", "accounts.a.limits[0].limit: found True, expected a whole number"),
    ("@limits = [{ limit = 1, per = '1 week' }]", "accounts.a.limits[0].per: found '1 week', expected a duration"),
    ("@limits = [{ limit = 1, per = '99999999999999d' }]", "accounts.a.limits[0].per: found '99999999999999d', exp"),
    ("@limits = [{ limit = 1, per = '0.001ms' }]", "limits[0].per: found '0.001ms', expected a duration"),
    ("@limits = [{ limit = 9999999999999, per = '1s' }]", "limits[0].limit: found 9999999999999, expected"),
    ("@report_wait = '99999999999999d'", "accounts.a.report_wait: found '99999999999999d', expected a duration like"),
    ("@limits = [{ limit = 1 }]", "accounts.a.limits[0].per: found None, expected a duration"),
    ("@limits = [{ limit = 1, per = '1s', counts = 'sms' }]", "accounts.a.limits[0].counts: found 'sms', expected req"),
    ("@limits = [{ limit = 1, per = '1s', burst = 2 }]", "accounts.a.limits[0]: unknown key 'burst'"),
    ("@poll_limits = [1]", "accounts.a.poll_limits[0]: found 1, expected a table"),
    ("@max_connections = 0", "accounts.a.max_connections: found 0, expected a whole number of at least 1"),
    ("@request_cap = 'many'", "accounts.a.request_cap: found 'many', expected a whole number"),
    ("@timeout = 5", "accounts.a.timeout: found 5, expected a duration like"),
    ("@timeout = '0s'", "accounts.a.timeout: found '0s', expected a duration"),
    ("@group = ''", "accounts.a.group: found '', expected a text"),
    ("@senders = 'MyStore'", "accounts.a.senders: found 'MyStore', expected a list of texts"),
    ("@senders = ['']", "accounts.a.senders[0]: found '', expected a text"),
    ("@sender = 5", "accounts.a.sender: found 5, expected a text"),
    ("@poll = { often = '1s' }", "accounts.a.poll: unknown key 'often', expected one of every, limit"),
    ("@poll = { limit = -1 }", "accounts.a.poll.limit: found -1, expected a whole number"),
    ("@webhook = { push = 'yes' }", "accounts.a.webhook.push: found 'yes', expected true or false"),
    ("@webhook = { url = 'x' }", "accounts.a.webhook: unknown key 'url', expected one of push, secret, token"),
    ("@options = []", "accounts.a.options: found [], expected a table"),
    ("@ca_file = 1", "accounts.a.ca_file: found 1, expected a text"),
    ("@credentials = 'x'", "accounts.a.credentials: found 'x', expected a table"),
    ("@credentials = { api_key = 'NOT_SET' }", "accounts.a.credentials.api_key: the environment variable NOT_SET"),
]  # fmt: skip
LEAST = "[accounts.a]\nprovider = 'x'\n"


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text[:40] for text, _ in WRONG])
def test_a_wrong_key_is_told_by_file_place_found_and_expected(tmp_path: Path, text: str, words: str) -> None:
    if text.startswith("@"):
        url = "" if text.startswith("@base_url") else "base_url = 'http://x'\n"
        text = LEAST + url + text[1:]
    with pytest.raises(AccountsError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'accounts.toml'}: ")
    assert words in str(caught.value)


def test_a_secret_written_into_the_file_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(AccountsError, match="the NAME of an environment variable") as caught:
        load(tmp_path, LEAST + "base_url = 'http://x'\ncredentials = { api_key = 'sk_live_abc' }")
    assert "sk_live_abc" not in str(caught.value)


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    file = tmp_path / "accounts.toml"
    file.write_text(LEAST + "base_url = 'http://x'\ncredentials = { api_key = 'KEY' }")
    assert load_accounts(file, {"KEY_FILE": str(tmp_path / "key")})["a"].credentials == {"api_key": "from-file"}


def test_no_secret_is_in_what_an_account_shows_of_itself(tmp_path: Path) -> None:
    shown = repr(load(tmp_path, GOOD)["acme"])
    assert not any(secret in shown for secret in SECRETS.values())


def test_a_process_that_needs_no_secrets_reads_none(tmp_path: Path) -> None:
    text = LEAST + "base_url = 'http://x'\ncredentials = { api_key = 'NOT_SET' }"
    assert load(tmp_path, text, secrets=False)["a"].credentials == {}


@pytest.mark.parametrize("content", [b"[accounts", b"\xff\xfe\x00", b"a = 1\na = 2"])
def test_what_is_no_toml_says_so(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "accounts.toml"
    file.write_bytes(content)
    with pytest.raises(AccountsError, match="cannot be read as TOML"):
        load_accounts(file, {})


def test_a_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AccountsError, match=r"not found. Copy config/accounts.example.toml"):
        load_accounts(tmp_path / "none.toml", {})


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("1s", 1.0), ("1.5m", 90.0), ("2h", 7200.0), ("1d", 86400.0)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "1", "s", "-1s", "0s", "1w", "1s1s", "1e3s", "١s", "0.5ms", "36501d", "9" * 400 + "s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)
