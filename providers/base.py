"""The protocol every provider speaks, and the values that cross it.

An adapter is sans-IO: it turns messages into requests and answers into outcomes. Who sends, when, and what follows
from an outcome is decided by the workers, never by the adapter. So a case of its tests is data: canned answer in,
exact request and exact outcome out.

A new provider is one file: a class with the attributes and methods of `Provider`, registered in `providers.registry`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Protocol

from models.segments import Encoding
from models.states import MessageState
from providers.wire import Reply, Request, Send


class FailureClass(StrEnum):
    """Why a message was refused or not delivered, and so what may be done about it."""

    RECIPIENT = "recipient"  # permanent: never to this number unchanged
    CONTENT = "content"  # permanent: the same body will always fail
    TEMPORARY = "temporary"  # the cause may vanish
    THROTTLED = "throttled"  # too fast: wait, then the same request
    ACCOUNT = "account"  # configuration, credentials or credit: stop the account, call a human
    SENDER = "sender"  # this sender ID (or template) is not allowed: final for the message, the account is well
    COUNTRY = "country"  # the account may not send there: final here, another account may
    DEFERRED = "deferred"  # not now: again at a later wall-clock time
    DUPLICATE = "duplicate"  # the provider has seen this message before
    UNSPECIFIED = "unspecified"  # no reason given: final for this message, no evidence against the number


@dataclass(frozen=True, slots=True)
class Failure:
    """One refusal or delivery failure. `code` is the provider's own, `reason` a sentence a person can read."""

    code: str
    klass: FailureClass
    reason: str
    permanent: bool | None = None  # the provider's own flag, where it sends one
    opt_out: bool = False  # evidence that the person (or a register the person is in) said no


class Outgoing(NamedTuple):
    """One message as an adapter sees it. `ref` is our client reference: stable per message, never per try."""

    id: str
    ref: str
    msisdn: str  # E.164 with +
    sender: str
    text: str
    encoding: Encoding = Encoding.GSM7
    segments: int = 1
    validity: int | None = None  # seconds
    options: Mapping[str, str] = MappingProxyType({})  # per campaign, e.g. entity_id, template_id, tags


# --- outcomes of one submitted message -------------------------------------------------------------------------------


class Accepted(NamedTuple):
    """The provider has it. `state` is SUBMITTED, HELD or (some answers already say so) SENT."""

    provider_id: str | None  # None: accepted, but the id was not told; match by our reference
    state: MessageState = MessageState.SUBMITTED
    group_id: str | None = None  # the provider's id of the whole request, where reports are pulled by it
    parts: int | None = None
    price: Decimal | None = None  # for the whole message, all parts
    currency: str | None = None
    held_until: datetime | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Known not accepted. `retry_after` in seconds where the provider named one; `new_ref` when a later try must
    carry a new client reference (the provider remembers the refused one)."""

    failure: Failure
    retry_after: float | None = None
    new_ref: bool = False


@dataclass(frozen=True, slots=True)
class Unclear:
    """May or may not have been accepted: the message becomes `unknown` and is looked up."""

    reason: str


Outcome = Accepted | Refused | Unclear


# --- what an answer says about the account ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Throttle:
    """429 or lock-out: everybody waits. `retry_after` None means none was given: back off."""

    retry_after: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """Credentials, address list, scope: opens the breaker until someone mends it."""

    code: str
    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class OutOfCredit:
    """The account cannot pay: pause it, look again later."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class ServerTrouble:
    """5xx: counts towards the breaker."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Allowance:
    """Rate headers of an answer. `reset_in` in seconds from now, where told."""

    limit: int
    remaining: int
    reset_in: float | None = None


Signal = Throttle | Misconfigured | OutOfCredit | ServerTrouble


@dataclass(frozen=True, slots=True)
class Submission:
    """How one submit request ended: an outcome for every message of the chunk (by `Outgoing.id`), and what the
    answer says about the account."""

    outcomes: Mapping[str, Outcome]
    signal: Signal | None = None
    allowance: Allowance | None = None
    request_id: str | None = None  # the provider's, for support tickets


# --- reports ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """One delivery report, whatever its source. `provider_id` or `ref` (or both) say whose it is.

    `dedupe` is equal for repeats of the same report and different for every other.
    `state` None: the provider said something we have no word for; it is kept and shown, nothing moves.
    """

    dedupe: str
    state: MessageState | None
    provider_id: str | None = None
    ref: str | None = None
    msisdn: str | None = None  # digits as the provider wrote them
    raw_status: str = ""
    failure: Failure | None = None
    at: datetime | None = None  # when the status came about, by the provider's clock (UTC)
    parts: int | None = None
    price: Decimal | None = None
    currency: str | None = None
    network: str | None = None
    channel: str | None = None
    read_at: datetime | None = None
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class OptOut:
    """A person said stop. `sender` None: for every sender."""

    msisdn: str  # E.164 with +
    sender: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message from a person to us (MO)."""

    inbound_id: str
    msisdn: str  # as the provider wrote it: may be alphanumeric
    to: str
    text: str
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """A report page or push as it came: stored before anybody parses it."""

    body: bytes
    content_type: str = ""
    query: str = ""  # the query string of a push (some providers report by GET)
    kind: str = "pull"  # pull | push
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a raw page held. `bad` are items that could not be read, as (where, why): the good ones are never lost."""

    reports: Sequence[Report] = ()
    opt_outs: Sequence[OptOut] = ()
    inbound: Sequence[Inbound] = ()
    bad: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class OpenWork:
    """What is still open at an account: what a poller needs to know to ask for it."""

    oldest: datetime  # when the oldest open message was submitted
    groups: Sequence[str] = ()  # provider group ids with open messages that are due, most urgent first
    now: datetime | None = None
    ungrouped: datetime | None = None  # when the oldest open message left that `groups` cannot find
    all_grouped: bool = False  # nothing is open outside of groups; `groups` empty: none of them is due


@dataclass(frozen=True, slots=True)
class Page:
    """One page to pull. `query` is the provider's own, `number` from 1, `seen` helps to end on drifting lists."""

    query: Mapping[str, str] = field(default_factory=dict)
    number: int = 1
    seen: int = 0


# --- webhooks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Push:
    """An incoming HTTP request from (or pretending to be from) the provider. Header names are lower case."""

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    path_token: str | None = None


@dataclass(frozen=True, slots=True)
class Genuine:
    """Store it and answer `status` with `body`."""

    status: int = 200
    body: bytes = b'{"status":"OK"}'
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Handshake:
    """Not a report: only to be answered."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Forged:
    """Answer 401 and keep nothing. `reason` goes to the log, never to the caller."""

    reason: str


Verdict = Genuine | Handshake | Forged


# --- unknown outcomes ------------------------------------------------------------------------------------------------


class LookUpBy(StrEnum):
    """How a provider lets us learn what became of a request without an answer."""

    REPLAY = "replay"  # the byte-identical request again under its idempotency key
    QUERY = "query"  # ask for it; what is not there after the grace was not accepted
    EVIDENCE = "evidence"  # ask for it; found proves acceptance, not found proves nothing
    NONE = "none"  # nobody to ask: wait for a report, then the campaign's policy


@dataclass(frozen=True, slots=True)
class Sought:
    """A message whose outcome is not known. `attempted_at` is our clock just before the request left."""

    message: Outgoing
    attempted_at: datetime
    looks: int  # how often we have looked already
    bulk_ref: str | None = None  # our id of the request it left in


@dataclass(frozen=True, slots=True)
class NotThere:
    """Asked, and the provider does not have it (yet): proof only after the last look, and only for `LookUpBy.QUERY`.

    `others`: ids of what the provider shows in its stead. While one of them is linked to no message of ours it may be
    this one, changed on its way, and absence is not proven."""

    others: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The look-up itself failed: says nothing about the message."""

    reason: str
    signal: Signal | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Accepted after all. `candidates` oldest first: the first whose id is not linked to another message is ours.
    `otherwise`: what is known where every one of them is another message's."""

    candidates: Sequence[Report]
    otherwise: NotThere | NoAnswer = NotThere()


Sighting = Found | NotThere | NoAnswer


# --- the protocol ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """What an adapter is built from: one set of credentials at one provider, secrets resolved."""

    name: str
    base_url: str
    credentials: Mapping[str, str] = field(repr=False)
    options: Mapping[str, object] = field(default_factory=dict)
    request_cap: int | None = None  # recipients in one request; None: the provider's default
    timeout: float = 30.0
    webhook_url: str | None = field(
        default=None, repr=False
    )  # where the provider shall push to, with its token, if push is wanted
    webhook_secret: str | None = field(default=None, repr=False)
    webhook_token: str | None = field(default=None, repr=False)  # unguessable part of the webhook URL
    poll_limit: int | None = None  # rows per page


class ReadLimit(NamedTuple):
    """At most `limit` requests in any `per` seconds."""

    limit: int
    per: float


@dataclass(frozen=True, slots=True)
class LookUpPolicy:
    """When to look (seconds after the attempt) and when absence counts. `proves_absence` False: never."""

    by: LookUpBy
    after: Sequence[float]
    proves_absence: bool
    give_up_after: float  # seconds after which nothing can be learnt any more
    overdue: float | None = None  # seconds after which a missing report is asked for: where a lost one comes only once


class Provider(Protocol):
    """One provider account. Constructed with `AccountSettings`; raises ValueError naming a wrong option."""

    name: ClassVar[str]
    credential_names: ClassVar[Sequence[str]]  # the credentials its account needs
    max_recipients: int  # in one submit request
    pulls: bool  # reports can be pulled
    pushes: bool  # reports can be pushed, and what the account holds can prove that they are genuine
    no_report_note: str | None  # why an account may rightly get no reports (never alarmed), or None
    report_deadline: float  # seconds after submit (beyond validity) when a missing report is final
    look_up_policy: LookUpPolicy
    shares_poll_budget: bool  # polls and look-ups count against the submit limits
    read_limits: Sequence[ReadLimit]  # documented for polls and look-ups alone; an account may say otherwise

    def check(self, message: Outgoing) -> Failure | None:
        """What the provider would refuse, said before the wire. None: nothing to object."""
        ...

    def warnings(self, message: Outgoing) -> Sequence[str]:
        """What the provider accepts but changes (a rewritten sender, say)."""
        ...

    def submit_request(self, chunk: Sequence[Outgoing], bulk_ref: str) -> Request:
        """The request for one chunk of at most `max_recipients`. The same chunk gives the same bytes."""
        ...

    def read_submit(self, chunk: Sequence[Outgoing], reply: Reply) -> Submission:
        """What became of every message of the chunk. Never raises: what cannot be read is Unclear."""
        ...

    def first_pages(self, work: OpenWork) -> Sequence[Page]:
        """The pages to pull for what is open; empty where reports cannot be pulled."""
        ...

    def page_request(self, page: Page) -> Request: ...

    def following(self, page: Page, reply: Reply) -> Page | None:
        """The page after this one, or None at the end. Never raises."""
        ...

    def read_signal(self, reply: Reply) -> tuple[Signal | None, Allowance | None]:
        """What any answer of this provider (poll, look-up, probe) says about the account."""
        ...

    def parse_reports(self, raw: Raw) -> Parsed:
        """Every report in a stored page or push. Raises BadBody if nothing at all can be read."""
        ...

    def verify(self, push: Push, now: datetime) -> Verdict: ...

    async def look_up(self, sought: Sequence[Sought], send: Send) -> Mapping[str, Sighting]:
        """Ask what became of these (by `Outgoing.id`). Not called where `LookUpBy` is REPLAY or NONE."""
        ...

    def probe_request(self) -> Request | None:
        """A cheap request that proves the credentials without sending anything; None where there is none."""
        ...

    def read_probe(self, reply: Reply) -> str:
        """One line for the operator: 'ok, balance 12.30 EUR'. Raises BadBody with what is wrong."""
        ...
