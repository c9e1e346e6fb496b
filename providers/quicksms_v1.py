"""The legacy V1 send API of QuickSMS (`POST /rcs/v2/api`), chosen per account by the option `api = "v1"`.

It has no idempotency key and nothing to ask afterwards: an answer that got lost is only ever explained by a receipt,
which carries our `cid`. Source: QuickSMS API 2.0, Changelog, "Full V1 API documentation".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from providers.base import (
    Accepted,
    AccountSettings,
    Allowance,
    Failure,
    FailureClass,
    LookUpBy,
    LookUpPolicy,
    Outcome,
    Outgoing,
    Refused,
    ServerTrouble,
    Signal,
    Submission,
    Unclear,
)
from providers.quicksms_codes import V1_ERRORS, refused
from providers.quicksms_v2 import number_failure, sender_fault, wire_sender
from providers.shared import (
    Options,
    bare_refusal,
    basic_auth,
    credential,
    join_url,
    json_or_none,
    mapping,
    showable,
    tell_once,
    text,
    whole,
)
from providers.wire import Reply, Request

_RECEIPT_WAIT = 259_200.0  # three days: no receipt comes later than a message can live
_LONGEST_SENDER = 25  # an RCS agent; which senders are agents is not said in the request


class V1Send:
    """The V1 send API of one account. Needs the credentials `username` and `password` instead of an API key."""

    policy = LookUpPolicy(LookUpBy.NONE, (), proves_absence=False, give_up_after=_RECEIPT_WAIT)

    def __init__(self, settings: AccountSettings, options: Options) -> None:
        self._secrets = (credential(settings, "username"), credential(settings, "password"))
        if ":" in self._secrets[0]:
            raise ValueError("credentials.username: holds a colon, which HTTP Basic cannot carry")
        self._url = join_url(settings.base_url, "/rcs/v2/api")
        self._timeout = settings.timeout
        self._receipts = settings.webhook_url
        self._multi = options.flag("multi", True)

    # --- before the wire ---

    def check(self, message: Outgoing) -> Failure | None:
        return number_failure(message) or self._text_failure(message) or self._sender_failure(message)

    def _text_failure(self, message: Outgoing) -> Failure | None:
        if not message.text:
            return Failure("205", FailureClass.CONTENT, "the text is empty")
        if message.segments > 1 and not self._multi:
            return Failure("209", FailureClass.CONTENT, "the account does not send texts of several parts")
        return None

    @staticmethod
    def _sender_failure(message: Outgoing) -> Failure | None:
        if not message.sender:
            return Failure("205", FailureClass.SENDER, "the sender is empty")
        why = sender_fault(message.sender, _LONGEST_SENDER)
        return Failure("210", FailureClass.SENDER, why) if why else None

    def warnings(self, message: Outgoing) -> Sequence[str]:
        said = ["V1 has no idempotency key: an answer that gets lost stays unknown until its receipt comes"]
        if message.validity is not None:
            said.append("V1 knows no validity: it is not sent")
        return said

    # --- the request ---

    def request(self, message: Outgoing) -> Request:
        headers = {
            "Authorization": basic_auth(*self._secrets),
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        return Request("POST", self._url, headers, orjson.dumps(self._fields(message)), self._timeout)

    def _fields(self, message: Outgoing) -> Mapping[str, object]:
        required = {
            "reqType": "BULK",
            "MSISDN": message.msisdn.removeprefix("+"),
            "msg": message.text,
            "sender": wire_sender(message.sender),
            "cid": message.ref,
        }
        optional = {"multi": message.segments > 1 or None, "Delurl": self._receipts}
        return required | {name: value for name, value in optional.items() if value is not None}

    # --- the answer ---

    def read(self, message: Outgoing, reply: Reply) -> Submission:
        outcome, signal = self._judge(reply, json_or_none(reply))
        return Submission({message.id: outcome}, signal)

    def signal(self, reply: Reply) -> Signal | None:
        return None if reply.status < 400 else self._judge(reply, json_or_none(reply))[1]

    def allowance(self, reply: Reply) -> Allowance | None:
        """V1 answers say nothing about the rate."""
        return None

    def _judge(self, reply: Reply, body: object) -> tuple[Outcome, Signal | None]:
        reference, error = text(mapping(body), "reference"), whole(mapping(body), "Error")
        if 200 <= reply.status < 300 and reference:
            return Accepted(reference), None
        if error in V1_ERRORS:  # documented with 400, but its number alone makes it a refusal
            return self._known(error, reply, body)
        if reply.status >= 500:
            return Unclear(f"http_{reply.status}"), ServerTrouble(reply.status, f"http_{reply.status}")
        if reply.status < 400:
            return Unclear(f"HTTP {reply.status} without a reference"), None
        if error is None or reply.status != 400:
            return bare_refusal(reply)
        tell_once("quicksms", "V1 error", error)
        return Refused(Failure(str(error), FailureClass.UNSPECIFIED, self._said("refused", body))), None

    def _known(self, error: int, reply: Reply, body: object) -> tuple[Refused, Signal | None]:
        rule = V1_ERRORS[error]
        return refused(str(error), rule, self._said(rule.reason, body), reply)

    def _said(self, ours: str, body: object) -> str:
        theirs = showable(mapping(body).get("Description"), self._secrets)
        return f"{ours}: {theirs}" if theirs else ours
