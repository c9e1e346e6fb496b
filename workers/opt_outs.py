"""`python -m workers.opt_outs ACCOUNT`: the provider's own list of people who said stop, into our suppressions.

Page by page through limiter and breaker, each page stored before the next is asked for: what was read stays read when
the rest fails, and a second run changes nothing. Prints one JSON object: {"account", "pages", "read", "new", "bad"}.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config.accounts import AccountsError
from config.settings import SettingsError
from models.database import DatabaseError
from models.queries import insert_new
from models.tables import Suppression
from providers.base import OptOut, Page, Parsed, Raw
from providers.extras import KeepsOptOuts
from providers.wire import BadBody, NotSent, OutcomeUnknown
from workers.charged import charged_send
from workers.command import command_runtime
from workers.inbox import suppression_row
from workers.runtime import AccountRuntime, Runtime


class OptOutsError(Exception):
    """The list could not be read to its end. The text says why; what was read before is stored."""


@dataclass(frozen=True, slots=True)
class Imported:
    """`read`: people on the list. `new`: those we did not know. `bad`: rows that could not be read."""

    account: str
    pages: int
    read: int
    new: int
    bad: int


async def import_opt_outs(runtime: Runtime, name: str) -> Imported:
    """Raises OptOutsError, and KeyError for an account that is not configured."""
    account = await runtime.account(name)
    provider = account.provider
    if not isinstance(provider, KeepsOptOuts):
        raise OptOutsError(f"{account.account.provider} has no list of unsubscribers to import")
    imported = Imported(name, 0, 0, 0, 0)
    for first in provider.opt_out_pages():
        page: Page | None = first
        while page is not None:
            parsed, page = await _page(runtime, account, provider, page)
            new = await runtime.write(store, parsed.opt_outs, runtime.now())
            imported = Imported(
                name,
                imported.pages + 1,
                imported.read + len(parsed.opt_outs),
                imported.new + new,
                imported.bad + len(parsed.bad),
            )
    return imported


async def _page(
    runtime: Runtime, account: AccountRuntime, provider: KeepsOptOuts, page: Page
) -> tuple[Parsed, Page | None]:
    try:
        reply = await charged_send(runtime, account, provider.opt_out_request(page), "poll")
        if reply.status != 200:
            raise OptOutsError(f"page {page.number}: HTTP {reply.status}; see paths.unsubscribers of the account")
        parsed = provider.parse_opt_outs(Raw(reply.body, reply.header("content-type") or ""))
    except (NotSent, OutcomeUnknown, BadBody) as error:
        raise OptOutsError(f"page {page.number}: {error}") from error
    return parsed, account.provider.following(page, reply)


def store(session: Session, opt_outs: Sequence[OptOut], now: datetime) -> int:
    """Into the suppressions; those that are there already stay as they are. The number of new ones."""
    rows = [row for opt_out in opt_outs if (row := suppression_row(opt_out, now))]
    before = session.execute(select(func.count()).select_from(Suppression)).scalar_one()
    insert_new(session, Suppression, rows)
    return session.execute(select(func.count()).select_from(Suppression)).scalar_one() - before


def main(name: str) -> None:
    """Raises OptOutsError, AccountsError, SettingsError, DatabaseError."""
    with command_runtime() as runtime:
        if name not in runtime.accounts:
            file = runtime.settings.accounts_file
            raise AccountsError(f"{file}: no account {name!r}; there are {', '.join(runtime.accounts)}")
        imported = runtime.run(import_opt_outs(runtime, name))
    sys.stdout.buffer.write(orjson.dumps(asdict(imported), option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except (OptOutsError, AccountsError, SettingsError, DatabaseError) as error:
        sys.exit(str(error))
