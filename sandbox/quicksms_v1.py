"""QuickSMS legacy V1: POST /rcs/v2/api, its receipts, seen receipts and inbound messages (V1 API Documentation).

All bodies are JSON with string values, as in the document's samples; the client acknowledges with the text RECEIVED.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from sandbox.core import Route, Routes
from sandbox.exchange import Call, Reply, json_reply
from sandbox.ledger import Entry
from sandbox.reports import Push, Wire
from sandbox.text import encoding_and_parts

if TYPE_CHECKING:
    from sandbox.quicksms import QuickSms

PATH = "/rcs/v2/api"
EXPLANATION = {
    200: "Request was not received through HTTPS",
    201: "Request was not made through HTTP POST",
    202: "Username/Password not set or incorrect format",
    203: "Request type not set",
    204: "Invalid request type",
    205: "Missing required field",
    206: "Invalid username or password",
    207: "Invalid MSISDN",
    208: "Not enough credits",
    209: "Message too long",
    210: "Sender too long",
    220: "API temporarily disabled (too many failed logins)",
    221: "API permanently disabled (too many failed logins)",
}
# Receipt status and substatus; the document names the statuses, the substatuses are those of its public reference.
RECEIPT = {"DELIVERED": ("3", "5"), "UNDELIVERED": ("2", "9"), "EXPIRED": ("4", "9"), "REJECTED": ("5", "14")}


@dataclass(slots=True, eq=False)
class LegacyDetails:
    receipt_url: str | None
    rcs: bool


class LegacyV1:
    """The V1 half of the QuickSMS provider; shares its ledger, settings and brute-force protection."""

    def __init__(self, home: "QuickSms") -> None:
        self._home = home
        self._reference = 41

    def routes(self) -> Routes:
        open_route = {"auth": False, "limited": False}  # V1 checks logins in its own words and documents no limit
        return {
            ("POST", PATH): Route(self._send, **open_route),
            ("GET", PATH): Route(lambda call: self._fail(201), **open_route),
        }

    def push_of(self, entry: Entry, status: str) -> Push | None:
        details = entry.extra
        if not isinstance(details, LegacyDetails) or details.receipt_url is None or status not in RECEIPT:
            return None
        code, substatus = RECEIPT[status]
        body = {
            "reference": entry.id,
            "cid": entry.ref or "",
            "MSISDN": entry.msisdn,
            "deliverytime": _stamp(entry.status_at),
            "status": code,
            "substatus": substatus,
        }
        return self._push(details.receipt_url, body, entry)

    def seen(self, entry: Entry) -> Push | None:
        """The seen receipt of an RCS message; note the capital CID."""
        details = entry.extra
        if not isinstance(details, LegacyDetails) or not details.rcs or details.receipt_url is None:
            return None
        body = {
            "reference": entry.id,
            "CID": entry.ref or "",
            "MSISDN": entry.msisdn,
            "seentime": _stamp(self._home.world.clock.wall()),
        }
        return self._push(details.receipt_url, body, entry, final=False)

    def inbound(self, fields: dict[str, Any]) -> Push:
        """`{"MSISDN": from, "Message": …, "Number": to, "ID": …, "url": …}`, all optional when `inbound_url` is set."""
        url = fields.get("url") or self._home.settings.inbound_url
        if not url:
            raise ValueError("inbound needs a url, here or as the setting inbound_url")
        body = {
            "MSISDN": str(fields.get("MSISDN", "447700900123")),
            "Message": str(fields.get("Message", "STOP")),
            "Number": str(fields.get("Number", "447700900999")),
            "DateRecieved": _stamp(self._home.world.clock.wall()),
            "ID": str(fields.get("ID", f"{self._home.world.rng.getrandbits(96):024x}")),
        }
        return self._push(url, body, None, final=False)

    def _send(self, call: Call) -> Reply:
        code = self._gate(call) or self._checked(call.json())
        if code:
            return self._fail(code)
        payload: dict[str, Any] = call.json()
        self._reference += 1
        self._enter(call, payload, str(self._reference))
        return json_reply(200, {"reference": str(self._reference)})

    def _fail(self, code: int) -> Reply:
        self._home.ledger.counts.rejected += 1
        return json_reply(400, {"Error": code, "Description": EXPLANATION[code]})

    def _gate(self, call: Call) -> int:
        """The code that stops a caller before the body is read; 0 = none."""
        settings = self._home.settings
        if settings.v1_require_https:
            return 200
        if settings.v1_disabled:
            return 221 if settings.v1_disabled == "permanent" else 220
        if self._home.locked(call) > 0:
            return 220
        return self._login(call, settings.v1_users)

    def _login(self, call: Call, users: dict[str, str]) -> int:
        basic = call.basic()
        if basic is None:
            return 202
        if users.get(basic[0]) != basic[1]:
            self._home.login_failed(call)
            return 206
        call.account = basic[0]
        return 0

    def _checked(self, payload: Any) -> int:
        if not isinstance(payload, dict) or not payload.get("reqType"):
            return 203
        if payload["reqType"] != "BULK":
            return 204
        if not all(isinstance(payload.get(name), str) and payload[name] for name in ("MSISDN", "msg", "sender")):
            return 205
        return self._checked_values(payload)

    def _checked_values(self, payload: dict[str, Any]) -> int:
        refused = self._home.refusal(payload["MSISDN"]) is not None
        if refused or not re.fullmatch(r"[1-9][0-9]{6,14}", payload["MSISDN"]):
            return 207
        _, parts = encoding_and_parts(payload["msg"])
        multipart = str(payload.get("multi", "")).lower() == "true"
        if len(payload["msg"]) > 1530 or (parts > 1 and not multipart):
            return 209
        if len(payload["sender"]) > (15 if payload["sender"].isdigit() else 11) and not self._is_agent(payload):
            return 210
        credits_left = self._home.settings.credits
        return 208 if credits_left is not None and credits_left < parts else 0

    def _is_agent(self, payload: dict[str, Any]) -> bool:
        return payload["sender"] in self._home.settings.rcs_agents

    def _enter(self, call: Call, payload: dict[str, Any], reference: str) -> None:
        settings = self._home.settings
        rcs = self._is_agent(payload)
        parts = 1 if rcs else encoding_and_parts(payload["msg"])[1]
        details = LegacyDetails(_with_scheme(payload.get("Delurl") or settings.v1_receipt_url), rcs)
        cid = payload.get("cid")
        self._home.accept(
            call, id=reference, msisdn=payload["MSISDN"], sender=payload["sender"], text=payload["msg"], parts=parts,
            ref=None if cid is None else str(cid), extra=details,
        )  # fmt: skip
        if settings.credits is not None:
            settings.credits -= parts

    def _push(self, url: str, body: dict[str, str], entry: Entry | None, final: bool = True) -> Push:
        wire = Wire("POST", url, {"Content-Type": "application/json"}, orjson.dumps(body))
        return Push(self._home, partial(_same, wire), entry, _received, final)


def _same(wire: Wire, attempt: int) -> Wire:
    return wire


def _received(status: int, body: bytes) -> bool:
    return 200 <= status < 300 and body.strip().strip(b'"') == b"RECEIVED"


def _with_scheme(url: object) -> str | None:
    """The document's sample has none: `www.receipts.co.uk`."""
    if not isinstance(url, str):
        return None
    return url if "://" in url else f"http://{url}"


def _stamp(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S")
