"""What is wrong with this installation, and what mends it. Everything is looked at, nothing is changed.

Each check gives findings; none of them raises. Redis and the database are looked at in `producer.doctor_stores`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.accounts import Account, AccountsError, load_each
from config.settings import Settings
from producer.rooms import WorkersError, ask_workers
from providers.accounts import open_provider
from providers.base import Provider

PROBE_SECONDS = 180.0
CLOCK_SECONDS = 5.0  # half of what the clocks of two well-kept machines may differ by before signatures suffer
LEAST_FREE, LITTLE_FREE = 200 * 2**20, 2 * 2**30  # bytes


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """`about`: what was looked at. `said`: what was found, without secrets. `fix`: what to do, where it is not well."""

    about: str
    verdict: Verdict
    said: str
    fix: str = ""


def ok(about: str, said: str) -> Finding:
    return Finding(about, Verdict.OK, said)


def wrong(about: str, said: str, fix: str) -> Finding:
    return Finding(about, Verdict.WRONG, said, fix)


def warning(about: str, said: str, fix: str) -> Finding:
    return Finding(about, Verdict.WARNING, said, fix)


def all_well(findings: Iterable[Finding]) -> bool:
    return all(finding.verdict is not Verdict.WRONG for finding in findings)


# --- settings --------------------------------------------------------------------------------------------------------


def check_settings(configured: Settings) -> Iterator[Finding]:
    """The settings were read before we came here, so they are well-formed; this is about what they mean."""
    yield ok("settings", f"environment {configured.environment}, accounts in {configured.accounts_file}")
    yield _state_folder(configured.state_dir)
    yield from check_disk("disk", configured.state_dir)


def _state_folder(folder: Path) -> Finding:
    there = next((path for path in (folder, *folder.resolve().parents) if path.exists()), Path("/"))
    if there.is_dir() and os.access(there, os.W_OK):
        return ok("state folder", f"{folder} is writable")
    return wrong("state folder", f"{there} is not writable", "set DRUMLINE_STATE_DIR to a folder of this user")


def check_disk(about: str, folder: Path) -> Iterator[Finding]:
    there = next((path for path in (folder, *folder.resolve().parents) if path.exists()), Path("/"))
    free = shutil.disk_usage(there).free
    said = f"{free / 2**30:.1f} GB free under {there}"
    if free < LEAST_FREE:
        yield wrong(about, said, "make room: without it nothing can be recorded, and so nothing is sent")
    elif free < LITTLE_FREE:
        yield warning(about, said, "make room before the next large campaign")
    else:
        yield ok(about, said)


# --- accounts --------------------------------------------------------------------------------------------------------


def check_accounts(configured: Settings) -> tuple[list[Finding], dict[str, Account]]:
    """What is to say about the accounts file, and the accounts that can be used."""
    try:
        loaded = load_each(configured.accounts_file)
    except AccountsError as error:
        return [wrong("accounts file", str(error), "correct the accounts file")], {}
    findings: list[Finding] = []
    usable: dict[str, Account] = {}
    for name, account in loaded.items():
        if isinstance(account, AccountsError):
            findings.append(wrong(name, str(account), "correct the accounts file or set the variable it names"))
            continue
        found = list(_check_account(account, configured))
        findings += found
        if all_well(one for one in found if one.about != _reports_of(account)):  # a login needs no webhook
            usable[name] = account
    return findings, usable


def _check_account(account: Account, configured: Settings) -> Iterator[Finding]:
    try:
        provider = open_provider(account, configured.public_url)
    except ValueError as error:
        yield wrong(account.name, str(error), "correct the account's table in the accounts file")
        return
    yield ok(account.name, f"{account.provider} at {account.base_url}, up to {provider.max_recipients} a request")
    if not account.limits:
        fix = f"set accounts.{account.name}.limits to what the provider allows (docs/providers/{account.provider}.md)"
        yield warning(account.name, f"no limits: {_unlimited(account, provider)} leave as fast as they can", fix)
    if account.timeout >= configured.lease_seconds:
        said = f"timeout {account.timeout:g} s is not below the lease of {configured.lease_seconds:g} s"
        yield wrong(account.name, said, "lower the account's timeout, or raise DRUMLINE_LEASE_SECONDS")
    yield from _check_reports(account, provider, configured.public_url)


def _unlimited(account: Account, provider: Provider) -> str:
    """What an account without `limits` does not hold back. Polls may have a limit of their own, or a documented one."""
    documented = () if provider.shares_poll_budget else provider.read_limits
    return "submits" if (documented if account.poll_limits is None else account.poll_limits) else "requests"


def _check_reports(account: Account, provider: Provider, public_url: str) -> Iterator[Finding]:
    about = _reports_of(account)
    if account.webhook.push:
        yield from _check_webhook(about, account, provider, public_url)
    elif not provider.pulls:
        fix = f"set accounts.{account.name}.webhook and DRUMLINE_PUBLIC_URL"
        yield warning(about, provider.no_report_note or "reports are neither pulled nor pushed", fix)
    elif provider.no_report_note:
        yield warning(about, provider.no_report_note, "nothing, if that is as it should be")


def _reports_of(account: Account) -> str:
    return f"{account.name} reports"


_LOCAL = ("localhost", "127.0.0.1", "::1")


def _check_webhook(about: str, account: Account, provider: Provider, public_url: str) -> Iterator[Finding]:
    if not provider.pushes:
        which = f"whichever docs/providers/{account.provider}.md asks for"
        fix = f"set accounts.{account.name}.webhook.secret or .token, {which}, or push = false"
        yield wrong(about, "push is on, but nothing would prove that a push is genuine: all are refused", fix)
    address = urlsplit(public_url)
    if not public_url:
        fix = (
            "set DRUMLINE_PUBLIC_URL to the address at which the provider reaches our API, e.g. https://sms.example.com"
        )
        yield wrong(about, "push is on, but no public address is set: no webhook is asked for", fix)
    elif address.scheme not in ("http", "https") or not address.hostname:
        yield wrong(about, f"DRUMLINE_PUBLIC_URL is no address: {public_url}", "write it as https://sms.example.com")
    elif address.scheme == "http" and address.hostname not in _LOCAL:
        yield warning(about, "reports come over plain HTTP: tokens and numbers can be read", "serve the API over TLS")
    elif address.hostname in _LOCAL and not _is_local(account.base_url):
        yield warning(
            about, "the public address is this machine's own: no provider reaches it", "set DRUMLINE_PUBLIC_URL"
        )
    else:
        yield ok(
            about, f"pushed to {address.scheme}://{address.netloc}{address.path.rstrip('/')}/v1/dlr/{account.name}"
        )


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in _LOCAL


# --- live probes -----------------------------------------------------------------------------------------------------


def probe_accounts(names: Sequence[str]) -> list[Finding]:
    """What the providers say. The probes run in the workers' room, behind its limiter and breaker."""
    try:
        lines = ask_workers("workers.probe", *names, seconds=PROBE_SECONDS)
    except WorkersError as error:
        return [wrong("probes", str(error), "see the message; --no-probe leaves the probes out")]
    return [finding for line in lines for finding in read_probe(line)]


_FIXES = {
    "probe": "check the account's credentials and base_url, and that our address is on the provider's list",
    "senders": "correct sender and senders of the account",
    "API key": "check the account's api_key in the provider's portal",
}


def read_probe(line: Mapping[str, Any]) -> Iterator[Finding]:
    """The findings in one line of `workers.probe`."""
    name = str(line["account"])
    how = "" if line["charged"] else " (not charged to any limit: Redis or the database is away)"
    for found in line["findings"]:
        verdict, about = Verdict(found["verdict"]), str(found["about"])
        fix = "" if verdict is Verdict.OK else _fix(about, str(found["said"]), str(line["provider"]))
        said = f"{found['said']}{how if verdict is Verdict.OK and about == 'probe' else ''}"
        yield Finding(f"{name} {about}", verdict, said, fix)
    if line["clock"] is not None:
        yield clock(f"{name} clock", "the provider's clock", float(line["clock"]))


def _fix(about: str, said: str, provider: str) -> str:
    if "breaker" in said:
        return "mend the cause; when its time is over the breaker lets one request through, and closes if that is well"
    return _FIXES.get(about, f"see docs/providers/{provider}.md")


def clock(about: str, whose: str, ahead: float) -> Finding:
    said = f"{whose} is {abs(ahead):.1f} s {'ahead of' if ahead >= 0 else 'behind'} ours"
    if abs(ahead) <= CLOCK_SECONDS:
        return ok(about, said)
    return warning(about, said, "let a time service (NTP) set this machine's clock; signatures and look-ups go by it")
