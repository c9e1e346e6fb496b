"""The counters and histograms of the metrics, from the table of tallies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.tables import TallyRow
from models.tallies import BEYOND, BUCKETS, SUM, Tally

Counts = dict[tuple[str, str], float]  # (account, labels) -> n


@dataclass(frozen=True, slots=True)
class Shown:
    """How a tally is shown. `labels` after the account; `per_account`: whether there is one. `zeros`: labels
    that every configured account has from the start, so that their first increase is seen."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    per_account: bool = True
    zeros: tuple[str, ...] = ()


SHOWN: Mapping[Tally, Shown] = {
    Tally.SUBMITTED: Shown("messages_submitted", "Messages that a provider took.", zeros=("",)),
    Tally.OUTCOMES: Shown("message_outcomes", "Messages that became final, by state and the provider's code.",
                          ("state", "code")),
    Tally.UNKNOWN: Shown("messages_unknown", "Messages whose outcome became unknown.", zeros=("",)),
    Tally.REPORTS: Shown("reports", "Delivery reports applied, by the state they tell and what they did.",
                         ("state", "effect")),
    Tally.REPORT_DELAY: Shown("report_apply_delay_seconds", "From a report's arrival to what it did."),
    Tally.IMPORTED: Shown("import_rows", "Rows read from recipient files.", ("result",), per_account=False),
    Tally.REQUESTS: Shown("provider_requests", "HTTP requests to providers; status none of theirs: what became of it.",
                          ("kind", "status"), zeros=("submit|429", "poll|429")),
    Tally.REQUEST_TIME: Shown("provider_request_duration_seconds", "Time from a request to a provider to its answer."),
    Tally.WAITS: Shown("limiter_waits", "Times that a batch was told to wait: for the pace, a toll (campaign or sender "
                       "limit), a block (429), the breaker or Redis.", ("door",)),
    Tally.WAIT_TIME: Shown("limiter_wait_seconds", "Seconds that batches were told to wait, by the same doors.",
                           ("door",)),
}  # fmt: skip


def counters(session: Session, accounts: Mapping[str, object]) -> Iterator[Metric]:
    """Every tally, also those that nothing was counted for yet."""
    found: dict[str, Counts] = defaultdict(dict)
    for name, account, labels, n in session.execute(
        select(TallyRow.name, TallyRow.account, TallyRow.labels, TallyRow.n).order_by(
            TallyRow.name, TallyRow.account, TallyRow.labels
        )
    ):
        found[name][account, labels] = n
    for tally, shown in SHOWN.items():
        counts = {(account, labels): 0.0 for account in accounts for labels in shown.zeros} | found[tally]
        yield _histogram(shown, counts, BUCKETS[tally]) if tally in BUCKETS else _counter(shown, counts)


def _counter(shown: Shown, counts: Counts) -> CounterMetricFamily:
    labels = (*(("account",) if shown.per_account else ()), *shown.labels)
    family = CounterMetricFamily(f"drumline_{shown.name}", shown.text, labels=labels)
    for (account, values), n in counts.items():
        split = values.split("|") if shown.labels else []
        family.add_metric([account, *split] if shown.per_account else split, n)
    return family


def _histogram(shown: Shown, counts: Counts, bounds: tuple[float, ...]) -> HistogramMetricFamily:
    """Buckets are kept apart from each other and shown cumulated."""
    family = HistogramMetricFamily(f"drumline_{shown.name}", shown.text, labels=("account",))
    for account in dict.fromkeys(account for account, _ in counts):
        buckets, seen = [], 0.0
        for bound in (*(f"{bound:g}" for bound in bounds), BEYOND):
            seen += counts.get((account, bound), 0.0)
            buckets.append((bound, seen))
        family.add_metric([account], buckets, counts.get((account, SUM), 0.0))
    return family
