"""`python -m workers.probe ACCOUNT…`: whether each account's provider answers, and whether it knows us.

Prints one JSON object per account and line. Where Redis and the database are there, every request is charged to the
account's limits and stopped by its breaker, and a wrong login, tried once, opens the breaker; where they are not,
nothing is sending either, and the requests go out uncharged. Nothing here sends a message or consumes a report.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import orjson
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from config.accounts import Account, AccountsError, load_each
from config.logging import configure_logging
from config.settings import Settings, settings
from models.database import Database, DatabaseError
from providers.accounts import open_provider
from providers.base import Provider, ServerTrouble, Throttle
from providers.extras import AsksMore, ListsSenders, Question
from providers.http import ConnectionSettings, HttpClient
from providers.retry_after import parse_http_date
from providers.wire import BadBody, NotSent, OutcomeUnknown, Reply
from workers.charged import charged_send
from workers.command import send_nothing
from workers.runtime import AccountRuntime, Runtime

HALF_A_SECOND = 0.5  # a Date header tells whole seconds, so on average it is half a second old


class Verdict(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    WARNING = "warning"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """`about`: what was asked. `said`: one line for the operator, without secrets."""

    about: str
    verdict: Verdict
    said: str


@dataclass(slots=True)
class Probed:
    """What was learnt about one account. `clock`: seconds the provider's clock is ahead of ours, where it told."""

    account: str
    provider: str
    charged: bool = False
    findings: list[Finding] = field(default_factory=list)
    clock: float | None = None
    milliseconds: int | None = None

    @property
    def failed(self) -> bool:
        return any(found.verdict in (Verdict.WRONG, Verdict.SKIPPED) for found in self.findings)


Ask = Callable[[Question], Awaitable[Reply]]


async def probe(account: Account, provider: Provider, ask: Ask, *, charged: bool) -> Probed:
    """Ask one question after the other, and no more after one that failed: a wrong login is tried once."""
    probed = Probed(account.name, account.provider, charged)
    for question in _questions(provider):
        reply = await _asked(probed, question, ask)
        if reply is None:
            break
        _judge(probed, question, reply)
        if probed.failed:
            break
        if question.about == FIRST and isinstance(provider, ListsSenders):
            probed.findings += _senders(account, provider.sender_ids(reply))
    if not probed.findings:
        probed.findings.append(Finding(FIRST, Verdict.WARNING, "this provider has nothing harmless to ask"))
    return probed


FIRST = "probe"


def _questions(provider: Provider) -> Sequence[Question]:
    request = provider.probe_request()
    first = [Question(FIRST, request, provider.read_probe)] if request is not None else []
    return [*first, *(provider.questions() if isinstance(provider, AsksMore) else ())]


async def _asked(probed: Probed, question: Question, ask: Ask) -> Reply | None:
    try:
        reply = await ask(question)
    except NotSent as error:
        probed.findings.append(Finding(question.about, _unsent(error), f"not asked: {error}"))
        return None
    except OutcomeUnknown as error:
        probed.findings.append(Finding(question.about, Verdict.WRONG, f"no answer: {error}"))
        return None
    if probed.milliseconds is None:
        probed.milliseconds = round(reply.elapsed * 1000)
        probed.clock = clock_ahead(reply, datetime.now(UTC))
    return reply


def _unsent(error: NotSent) -> Verdict:
    """A busy account is no fault, an open breaker and an address that cannot be reached are."""
    busy = error.reason in ("no_permit", "permit_missed") and not error.detail.startswith("breaker")
    return Verdict.SKIPPED if busy else Verdict.WRONG


def _judge(probed: Probed, question: Question, reply: Reply) -> None:
    try:
        finding = Finding(question.about, Verdict.OK, question.read(reply))
    except BadBody as error:
        finding = Finding(question.about, Verdict.WARNING if question.doubt else Verdict.WRONG, str(error))
    probed.findings.append(finding)


def clock_ahead(reply: Reply, now: datetime) -> float | None:
    """Seconds by which the provider's clock is ahead of ours, to about a second; None where it did not tell."""
    theirs = parse_http_date(reply.header("date") or "", now)
    if theirs is None:
        return None
    return round((theirs - now).total_seconds() + HALF_A_SECOND + reply.elapsed / 2, 1)


def _senders(account: Account, known: frozenset[str]) -> list[Finding]:
    """Whether the senders of the accounts file may be used."""
    wanted = {*account.senders, *([account.sender] if account.sender else [])}
    missing = sorted(wanted - known)
    if missing:
        said = f"not among the account's numbers: {', '.join(missing)}; correct sender and senders in the accounts file"
        return [Finding("senders", Verdict.WRONG, said)]
    return [Finding("senders", Verdict.OK, "all in the account's list")] if wanted else []


# --- how the questions leave -----------------------------------------------------------------------------------------


async def probe_directly(accounts: Sequence[Account], public_url: str) -> list[Probed]:
    """Uncharged: for when there is no Redis or no database, and so nothing else is sending."""
    return list(await asyncio.gather(*(_directly(account, public_url) for account in accounts)))


async def _directly(account: Account, public_url: str) -> Probed:
    provider = open_provider(account, public_url)
    async with HttpClient(ConnectionSettings(max_connections=1, ca_file=account.ca_file)) as client:
        return await probe(account, provider, lambda question: client.send(question.request), charged=False)


async def probe_charged(runtime: Runtime, names: Sequence[str]) -> list[Probed]:
    """Through limiter and breaker, like everything that the workers send."""
    opened = [await runtime.account(name) for name in names]
    return list(await asyncio.gather(*(_charged(runtime, account) for account in opened)))


async def _charged(runtime: Runtime, account: AccountRuntime) -> Probed:
    async def ask(question: Question) -> Reply:
        gate = account.gate if question.request.method == "POST" else account.poll_gate
        # a doubtful question may be answered by "no such place", which is no verdict on the account
        lessons = (Throttle, ServerTrouble) if question.doubt else None
        return await charged_send(runtime, account, question.request, "probe", gate=gate, lessons=lessons)

    return await probe(account.account, account.provider, ask, charged=True)


async def _redis_answers(runtime: Runtime) -> bool:
    try:
        return bool(await runtime.redis.ping())
    except (RedisError, OSError):
        return False


def _database(configured: Settings) -> Database | None:
    """The database, if it is there and at the newest schema."""
    try:
        database = Database(configured.database_url)
        current, newest = database.schema()
    except (DatabaseError, SQLAlchemyError, OSError):
        return None
    return database if current == newest else None


def probe_all(configured: Settings, accounts: Mapping[str, Account]) -> list[Probed]:
    database = _database(configured) if configured.redis_url else None
    if database is None:
        return asyncio.run(probe_directly(list(accounts.values()), configured.public_url))
    runtime = Runtime(configured, accounts, database, send_nothing)
    try:
        if runtime.run(_redis_answers(runtime)):
            return runtime.run(probe_charged(runtime, list(accounts)))
    finally:
        runtime.close()
    return asyncio.run(probe_directly(list(accounts.values()), configured.public_url))


def unusable(name: str, found: Account | AccountsError | None, public_url: str) -> Probed | None:
    """Why an account cannot be probed at all; None if it can."""
    if isinstance(found, Account):
        try:
            open_provider(found, public_url)
        except ValueError as error:
            return Probed(name, found.provider, findings=[Finding("account", Verdict.WRONG, str(error))])
        return None
    said = str(found) if found is not None else "not in the accounts file"
    return Probed(name, "", findings=[Finding("account", Verdict.WRONG, said)])


def main(names: Sequence[str]) -> None:
    """Probe these accounts, or all of them. Raises AccountsError for a file that cannot be read."""
    configured = settings()
    configure_logging(configured.log_format, "ERROR")
    loaded = load_each(configured.accounts_file)
    wanted = list(dict.fromkeys(names)) or list(loaded)
    wrong = [bad for name in wanted if (bad := unusable(name, loaded.get(name), configured.public_url))]
    out = {probed.account for probed in wrong}
    usable = {name: found for name, found in loaded.items() if name in wanted and name not in out}
    accounts = {name: found for name, found in usable.items() if isinstance(found, Account)}
    for probed in [*wrong, *(probe_all(configured, accounts) if accounts else [])]:
        sys.stdout.buffer.write(orjson.dumps(asdict(probed), option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except AccountsError as error:
        sys.exit(str(error))
