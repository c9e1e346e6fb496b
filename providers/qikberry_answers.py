"""What an answer of Qikberry says: the envelope around everything, refusals, and what they mean for the account.

Qikberry developer documentation, "Error Codes" and "Attributes": "OK or 200 is success and rest everything is failed";
`code` is optional, `message` is for people. So a refusal's class comes from the HTTP status, and within 400 and 422
from the words of its message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from providers.base import (
    Allowance,
    Failure,
    FailureClass,
    Misconfigured,
    OutOfCredit,
    Refused,
    ServerTrouble,
    Signal,
    Throttle,
    Unclear,
)
from providers.shared import bare_refusal, dig, json_or_none, retry_after, showable, text, whole
from providers.wire import Reply

_SUCCESS = frozenset({"200", "ok", "202"})
_FAILED = re.compile(r"\s*(err|fail|invalid|reject|unauth|denied|forbid|false)", re.I)


@dataclass(frozen=True, slots=True)
class Envelope:
    """`ok` None: the answer does not say, or says two things at once. `message` may be shown. `body` is all of it."""

    ok: bool | None
    code: int | None
    message: str
    body: Mapping[str, object]

    @property
    def data(self) -> object:
        return self.body.get("data")

    @property
    def status(self) -> int:
        """The HTTP status the body claims, or 0."""
        claimed = self.code if self.code is not None else whole(self.body, "status")
        return claimed if claimed is not None and 100 <= claimed <= 599 else 0

    @property
    def refuses(self) -> bool:
        """Whether it says in so many words (or by an HTTP status) that it failed: a word nobody documented does not."""
        return self.ok is False and (self.status >= 400 or bool(_FAILED.match(text(self.body, "status") or "")))


def read_envelope(value: object, secrets: tuple[str, ...] = ()) -> Envelope | None:
    """The envelope, or None for anything but a JSON object."""
    if not isinstance(value, dict):
        return None
    code = whole(value, "code")
    message = showable("; ".join(_sentences(value.get("message", value.get("errors")))), secrets)
    return Envelope(_success(text(value, "status"), code), code, message, value)


def _success(status: str | None, code: int | None) -> bool | None:
    coded = None if code is None else 200 <= code < 300
    if status is None:
        return coded
    said = status.strip().lower() in _SUCCESS
    return None if said and coded is False else said


def _sentences(value: object, depth: int = 4) -> Iterator[str]:
    """Every sentence of a message, which may be a text, a list, or an object of lists (validation errors)."""
    match value:
        case str():
            yield value
        case list() if depth:
            for one in value[:20]:
                yield from _sentences(one, depth - 1)
        case dict() if depth:
            for name, one in list(value.items())[:20]:
                yield from (f"{name}: {sentence}" for sentence in _sentences(one, depth - 1))


# --- refusals --------------------------------------------------------------------------------------------------------

Verdict = tuple[Refused | Unclear, Signal | None]

# The words of a refusal, for want of codes: the first that matches decides.
_WORDS: tuple[tuple[re.Pattern[str], FailureClass, type[OutOfCredit | Misconfigured] | None], ...] = (
    (re.compile(r"balance|credit", re.I), FailureClass.ACCOUNT, OutOfCredit),
    (re.compile(r"unauthenticat|unauthori[sz]ed|access.token", re.I), FailureClass.ACCOUNT, Misconfigured),
    (re.compile(r"\bsender|\bfrom\b", re.I), FailureClass.SENDER, None),
    (re.compile(r"template|entity|\bdlt\b|\bheader\b", re.I), FailureClass.SENDER, None),
    (re.compile(r"\bservice\b", re.I), FailureClass.ACCOUNT, Misconfigured),
    (re.compile(r"duplicate|same content", re.I), FailureClass.DUPLICATE, None),
    (re.compile(r"\bcountry\b", re.I), FailureClass.COUNTRY, None),
    (re.compile(r"\bmobile\b|\breceiver\b|\brecipient|\bnumber\b|\bto\b field", re.I), FailureClass.RECIPIENT, None),
)


def refusal(status: int, envelope: Envelope, reply: Reply) -> Verdict:
    """What a readable error says. `status` is the HTTP status, or the one a body under HTTP 200 claims."""
    code = str(status or text(envelope.body, "status") or "error")[:40]
    reason = envelope.message or f"refused with {code}"
    if status >= 500:
        return Unclear(f"http_{status}"), ServerTrouble(status, reason)
    if status in (408, 409):  # 409: "you might be trying to update the same resource concurrently"
        return Unclear(f"http_{status}"), None
    if status == 429:
        wait = retry_after(reply)
        return Refused(Failure(code, FailureClass.THROTTLED, reason), wait), Throttle(wait, reason)
    if status in (401, 403, 404, 405):
        return Refused(Failure(code, FailureClass.ACCOUNT, reason)), Misconfigured(code, reason)
    if status == 402:
        return Refused(Failure(code, FailureClass.ACCOUNT, reason)), OutOfCredit(code, reason)
    return by_words(code, reason)


def by_words(code: str, reason: str) -> Verdict:
    for pattern, klass, signal in _WORDS:
        if pattern.search(reason):
            return Refused(Failure(code, klass, reason)), signal(code, reason) if signal else None
    return Refused(Failure(code, FailureClass.CONTENT, reason)), None


def not_success(reply: Reply, envelope: Envelope | None) -> Verdict:
    """What any answer but an HTTP 2xx says about its request."""
    if reply.status >= 500:
        reason = envelope.message if envelope else ""
        return Unclear(f"http_{reply.status}"), ServerTrouble(reply.status, reason or f"HTTP {reply.status}")
    if not 400 <= reply.status < 500:
        return Unclear(f"http_{reply.status}"), None
    if envelope is not None and (envelope.ok is not None or envelope.message):
        return refusal(reply.status, envelope, reply)
    return (Unclear("http_409"), None) if reply.status == 409 else bare_refusal(reply)


_NODE = re.compile(r"(?:nodes|to)(?:\.|\[)([0-9]{1,5})\b")


def blamed(envelope: Envelope) -> dict[int, str]:
    """Which recipients (by place in the request) validation errors name, and what they say: `nodes.3.to`."""
    found: dict[int, str] = {}
    for errors in (envelope.body.get("errors"), envelope.body.get("message"), dig(envelope.data, "error")):
        for name, said in errors.items() if isinstance(errors, dict) else ():
            place = _NODE.search(name)
            if place:
                found.setdefault(int(place.group(1)), showable("; ".join(_sentences(said))) or "refused")
    return found


_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9]{7,15}(?![0-9A-Za-z])")
_PARTLY = re.compile(r"\b(?:accepted|partial\w*|queued|submitted)\b", re.I)


def numbers_named(envelope: Envelope, secrets: tuple[str, ...]) -> dict[str, str]:
    """The numbers in an error's words, each as a whole, and the sentence that names it, fit to be shown. None where
    the words speak of a part that was taken."""
    said = [
        sentence
        for told in (envelope.body.get("errors"), envelope.body.get("message"), dig(envelope.data, "error"))
        for sentence in _sentences(told)
    ]
    if any(_PARTLY.search(sentence) for sentence in said):
        return {}
    return {number: showable(sentence, secrets) for sentence in said for number in _NUMBER.findall(sentence)}


# --- what an answer says about the account ---------------------------------------------------------------------------


def signal_of(reply: Reply, secrets: tuple[str, ...] = ()) -> Signal | None:
    """For polls, look-ups and probes: there a 404 or 422 with an envelope only says "no record"."""
    envelope = read_envelope(json_or_none(reply), secrets)
    if 200 <= reply.status < 300 and (envelope is None or envelope.ok is not False):
        return None
    status = reply.status if reply.status >= 300 else (envelope.status if envelope else 0)
    if envelope is not None and status in (400, 404, 422) and (envelope.ok is not None or envelope.message):
        return _only_account(by_words(str(status), envelope.message)[1])
    if reply.status < 300 and envelope is not None:
        return refusal(status, envelope, reply)[1]
    return not_success(reply, envelope)[1]


def _only_account(signal: Signal | None) -> Signal | None:
    """A query was refused: only "no credit" says something about the account."""
    return signal if isinstance(signal, OutOfCredit) else None


def allowance_of(reply: Reply) -> Allowance | None:
    """Not documented, but customary on the platform's framework: honoured if present."""
    limit, remaining = (whole(reply.header(f"x-ratelimit-{name}")) for name in ("limit", "remaining"))
    if limit is None or remaining is None or not 0 <= remaining <= limit or limit < 1:
        return None
    return Allowance(limit, remaining)
