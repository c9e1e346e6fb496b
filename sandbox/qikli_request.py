"""Reading a Qikli send request: what is refused as a whole (400, validationErrors) and what becomes orders.

Shapes and clip lengths follow the manual's sample and the public specification of the platform Qikli is built on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sandbox.text import encoding_and_parts

BULK_ID_CLIP: Final = 100
MESSAGE_ID_CLIP: Final = 200
URL_CLIP: Final = 2048
MAX_PARTS: Final = 25
MAX_BYTES: Final = 4000
MAX_VALIDITY_MINUTES: Final = 2880
MAX_AHEAD_SECONDS: Final = 180 * 86_400
_STAMP: Final = "%Y-%m-%dT%H:%M:%S.%f%z"


class Invalid(Exception):
    """The request is refused as a whole. `errors`: field → sentences, as in validationErrors."""

    def __init__(self, field_name: str, sentence: str) -> None:
        super().__init__(f"{field_name} {sentence}")
        self.errors = {field_name: [sentence]}


@dataclass(slots=True, eq=False)
class Order:
    """One element of messages[]: one text for its destinations. Times are unix seconds, `validity` is in seconds."""

    sender: str
    text: str
    parts: int
    destinations: list[tuple[str, str | None]]
    callback_data: str | None = None
    notify_url: str | None = None
    intermediate: bool = False
    validity: float | None = None
    send_at: float | None = None
    epoch: int = 0  # raised by every change of the schedule, so that an older release comes to nothing

    @property
    def too_long(self) -> bool:
        return self.parts > MAX_PARTS or len(self.text.encode("utf-8", "surrogatepass")) > MAX_BYTES


@dataclass(frozen=True, slots=True)
class SendRequest:
    bulk_id: str | None
    orders: list[Order] = field(default_factory=list)
    count_parts: bool = False


def read_request(body: Any, now: float, max_destinations: int) -> SendRequest:
    """Errors: Invalid, naming the first field that is wrong."""
    if not isinstance(body, dict):
        raise Invalid("body", "must be a JSON object")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Invalid("messages", "must not be empty")
    orders = [_order(message, f"messages[{index}]", now) for index, message in enumerate(messages)]
    if sum(len(order.destinations) for order in orders) > max_destinations:
        raise Invalid("messages", f"must not have more than {max_destinations} destinations")
    return SendRequest(_clipped(body.get("bulkId"), BULK_ID_CLIP), orders, bool(body.get("includeSmsCountInResponse")))


def numbers_of(body: Any) -> Iterable[str]:
    """Digits of every recipient, whatever shape the body has."""
    for message in _dicts(body.get("messages") if isinstance(body, dict) else None):
        for destination in _dicts(message.get("destinations")):
            yield str(destination.get("to", "")).lstrip("+")


def count_of(body: Any) -> int:
    """How many messages the body asks for, whatever shape it has."""
    messages = body.get("messages") if isinstance(body, dict) else None
    listed = (message.get("destinations") for message in _dicts(messages))
    return sum(len(found) for found in listed if isinstance(found, list))


def stamp(unix: float) -> str:
    """`2019-11-09T16:00:00.000+0000`: milliseconds, and an offset without a colon."""
    moment = datetime.fromtimestamp(unix, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def read_stamp(value: Any, name: str, now: float) -> float:
    """Unix seconds of a sendAt. Errors: Invalid, also for a time more than 180 days ahead."""
    try:
        moment = datetime.strptime(str(value), _STAMP).timestamp()
    except ValueError:
        raise Invalid(name, "must have the format yyyy-MM-dd'T'HH:mm:ss.SSSZ") from None
    if moment > now + MAX_AHEAD_SECONDS:
        raise Invalid(name, "must be within the next 180 days")
    return moment


def _future(value: Any, name: str, now: float) -> float | None:
    """A sendAt of now or before means at once."""
    moment = now if value is None else read_stamp(value, name, now)
    return moment if moment > now else None


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _order(message: Any, name: str, now: float) -> Order:
    if not isinstance(message, dict):
        raise Invalid(name, "must be an object")
    text = message.get("text")
    if not isinstance(text, str) or not text:
        raise Invalid(f"{name}.text", "must not be blank")
    return Order(
        sender=str(message.get("from") or ""),
        text=text,
        parts=encoding_and_parts(text)[1],
        destinations=_destinations(message.get("destinations"), f"{name}.destinations"),
        callback_data=message.get("callbackData"),
        notify_url=_clipped(message.get("notifyUrl"), URL_CLIP),
        intermediate=bool(message.get("intermediateReport")),
        validity=_validity(message.get("validityPeriod"), f"{name}.validityPeriod"),
        send_at=_future(message.get("sendAt"), f"{name}.sendAt", now),
    )


def _destinations(value: Any, name: str) -> list[tuple[str, str | None]]:
    if not isinstance(value, list) or not value:
        raise Invalid(name, "must not be empty")
    found = []
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise Invalid(f"{name}[{index}]", "must be an object")
        found.append((str(item.get("to") or ""), _clipped(item.get("messageId"), MESSAGE_ID_CLIP)))
    return found


def _validity(minutes: Any, name: str) -> float | None:
    """Seconds; more than 48 hours silently becomes 48 hours."""
    if minutes is None:
        return None
    if not isinstance(minutes, int | float) or minutes <= 0:
        raise Invalid(name, "must be a positive number of minutes")
    return min(minutes, MAX_VALIDITY_MINUTES) * 60.0


def _clipped(value: Any, length: int) -> str | None:
    return str(value)[:length] if value not in (None, "") else None
