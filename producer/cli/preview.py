"""`drumline preview` and `drumline send --dry-run`: what a campaign would do, without doing it."""

from __future__ import annotations

from pathlib import Path

from config.prices import load_prices
from producer.campaigns import CampaignError, CampaignSpec
from producer.cli.context import Context
from producer.cli.output import print_json, print_table, say
from producer.preview import Preview, Previewer
from producer.readers import Hint


def show_preview(
    context: Context, spec: CampaignSpec, file: Path, hint: Hint, rows: list[int], *, as_json: bool
) -> None:
    """Print it. Raises CampaignError, FileError, PricesError."""
    if not file.is_file():
        raise CampaignError("file", f"{file}: no such file")
    prices = load_prices(context.settings.prices_file)
    region = context.settings.default_region or None
    previewer = Previewer(context.database, context.accounts, context.providers, prices, region)
    found = previewer.run(spec, file, hint, rows=rows)
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)


def _print(found: Preview) -> None:
    say("Nothing was stored or sent.")
    counts = [["valid", found.valid], *([str(code), n] for code, n in found.reasons.items())]
    print_table("Rows", ["", "rows"], counts)
    each = [[f"{parts} part{'s' * (parts != 1)}", n] for parts, n in found.segments.items()]
    encodings = ", ".join(f"{n:,} {name}" for name, n in found.encodings.items())
    print_table(
        f"{found.parts:,} parts, median {found.median_segments:g} per message; {encodings}", ["", "messages"], each
    )
    accounts = [[name, n, _span(found.account_seconds.get(name, 0.0))] for name, n in found.by_account.items()]
    print_table(f"At least {_span(found.seconds)} of sending", ["account", "messages", "takes"], accounts)
    countries = [
        [one.country, one.messages, one.parts, _money(one.cost), one.unpriced or "-"] for one in found.countries
    ]
    total = " + ".join(f"{amount:f} {currency}" for currency, amount in found.cost.items()) or "no prices known"
    print_table(f"Cost: {total}", ["country", "messages", "parts", "cost", "unpriced parts"], countries)
    for warning, n in found.warnings.items():
        say(f"warning: {warning} ({n:,} messages)")
    for note in found.notes:
        say(f"note: {note}")
    rows = [[row.row_no, row.msisdn, row.account, row.sender, row.segments, row.text] for row in found.rows]
    print_table("", ["row", "number", "account", "sender", "parts", "text"], rows)
    if found.rejected:
        bad = [[row.row_no, row.column, row.value, row.reason] for row in found.rejected]
        print_table("Rejected", ["row", "column", "value", "reason"], bad)


def _money(cost: object) -> str:
    return ", ".join(f"{amount:f} {currency}" for currency, amount in cost.items()) if isinstance(cost, dict) else "-"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
