"""What the provider accepted, and what it decided became of it: the truth that a client's database is compared with."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from sys import intern

from sandbox.outcomes import Outcome

ARRIVALS_KEPT = 500_000


@dataclass(slots=True, eq=False)
class Entry:
    """One accepted message.

    `ref` is the client's own reference (Qikli messageId, QuickSMS customer_id, Qikberry custom), `key` the idempotency
    key or group id. Times are unix seconds. `status` is what the provider shows at this moment, in its own words;
    `truth` is decided at acceptance and `final_at` is set once the provider knows it. `pulled` and `pushed` count
    successful hand-overs of the final report. `mode` names the report fault that bent it. `extra` belongs to the
    provider.
    """

    provider: str
    id: str
    msisdn: str
    sender: str
    text: str
    parts: int
    accepted_at: float
    truth: Outcome
    status: str
    account: str = ""
    ref: str | None = None
    key: str | None = None
    final_at: float | None = None
    status_at: float = 0.0
    pulled: int = 0
    pushed: int = 0
    callback_url: str | None = None
    mode: str | None = None
    extra: object = None

    def public(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in PUBLIC_FIELDS} | {"reported": self.pulled + self.pushed}


PUBLIC_FIELDS = (
    "provider", "account", "id", "ref", "key", "msisdn", "sender", "text", "parts", "accepted_at", "truth", "status",
    "final_at", "pulled", "pushed", "mode",
)  # fmt: skip


@dataclass(slots=True)
class Counts:
    """Totals of one provider since start or reset."""

    requests: int = 0
    accepted: int = 0
    rejected: int = 0  # messages refused at submit, counted by the provider
    unauthorized: int = 0
    throttled: int = 0
    replays: int = 0  # answered from an idempotency cache, not accepted again
    duplicates: int = 0  # accepted although the same reference (or number, sender and text) was accepted before
    pulled: int = 0
    pushed: int = 0
    push_failed: int = 0
    push_dropped: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def public(self) -> dict[str, object]:
        shown = {item.name: getattr(self, item.name) for item in fields(self)}
        return shown | {"statuses": dict(self.statuses), "faults": dict(self.faults)}


@dataclass(slots=True)
class Ledger:
    """Accepted messages of one provider in order of acceptance, with the indexes that look-ups need."""

    entries: list[Entry] = field(default_factory=list)
    by_id: dict[str, Entry] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    arrivals: deque[tuple[float, str, str, int, bool]] = field(default_factory=lambda: deque(maxlen=ARRIVALS_KEPT))
    _identities: set[int] = field(default_factory=set)

    def add(self, entry: Entry) -> None:
        entry.sender = intern(entry.sender)
        self.entries.append(entry)
        self.by_id[entry.id] = entry
        self.counts.accepted += 1
        self._count_duplicate(entry)

    def arrive(self, at: float, account: str, method: str, messages: int, admitted: bool) -> None:
        self.arrivals.append((at, account, method, messages, admitted))

    def find_ref(self, ref: str) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.ref == ref)

    def clear(self) -> None:
        self.entries.clear()
        self.by_id.clear()
        self.arrivals.clear()
        self._identities.clear()
        self.counts = Counts()

    def _count_duplicate(self, entry: Entry) -> None:
        # Only a hash is kept: a false alarm in 10^6 runs is a fair price for a million messages in little memory.
        identity = hash(
            (entry.account, entry.ref, entry.msisdn)
            if entry.ref
            else (entry.account, entry.msisdn, entry.sender, entry.text)
        )
        if identity in self._identities:
            self.counts.duplicates += 1
        self._identities.add(identity)
