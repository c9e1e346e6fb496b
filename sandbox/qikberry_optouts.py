"""Qikberry's unsubscribers (sms/suppressions/unsubscribers): who is on the list is not sent to.

Qikberry reference, "Unsubscriber". A service is called "product" when created and "service" when filtered: both are
taken.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sandbox.core import Route, Routes
from sandbox.exchange import Call, Reply
from sandbox.qikberry_request import Invalid, fields_of

if TYPE_CHECKING:
    from sandbox.qikberry import Qikberry

TYPES: Final = ("tag", "product", "service", "sender", "all")
FILTERS: Final = ("id", "iso", "receiver", "type", "value")
_COUNTRIES: Final = (
    ("233", "GH"), ("353", "IE"), ("91", "IN"), ("44", "GB"), ("49", "DE"), ("33", "FR"), ("31", "NL"), ("61", "AU"),
    ("46", "SE"), ("1", "US"),
)  # fmt: skip


@dataclass(slots=True)
class OptOut:
    id: str
    iso: str | None
    receiver: str
    type: str
    value: str
    created_at: str


class OptOuts:
    def __init__(self, provider: Qikberry) -> None:
        self._provider = provider
        self._by_id: dict[str, OptOut] = {}
        self._by_receiver: dict[str, list[OptOut]] = {}

    def routes(self) -> Routes:
        path = "sms/suppressions/unsubscribers"
        return {
            ("GET", path): Route(self._list),
            ("POST", path): Route(self._create),
            ("DELETE", path): Route(self._clean),
            ("GET", path + "/{id}"): Route(self._show),
            ("PUT", path + "/{id}"): Route(self._edit),
            ("DELETE", path + "/{id}"): Route(self._delete),
        }

    def blocks(self, to: str, sender: str, service: str, tags: tuple[str, ...]) -> bool:
        if not (listed := self._by_receiver.get(to)):
            return False
        values = {"sender": (sender,), "product": (service,), "service": (service,), "tag": tags}
        return any(one.type == "all" or one.value in values[one.type] for one in listed)

    def add(self, receiver: str, kind: str, value: str) -> OptOut:
        """Errors: Invalid."""
        if not receiver:
            raise Invalid("receiver", "The receiver field is required.")
        created = datetime.fromtimestamp(self._provider.world.clock.wall(), UTC)
        country = next((iso for prefix, iso in _COUNTRIES if receiver.startswith(prefix)), None)
        stamp = f"{created:%Y-%m-%dT%H:%M:%S.%f}Z"
        made = OptOut(self._provider.new_id(), country, receiver, _type(kind), value, stamp)
        self._by_id[made.id] = made
        self._by_receiver.setdefault(receiver, []).append(made)
        return made

    def clear(self) -> None:
        self._by_id.clear()
        self._by_receiver.clear()

    def _list(self, call: Call) -> Reply:
        wanted = {name: call.query[f"filter[{name}]"] for name in FILTERS if f"filter[{name}]" in call.query}
        rows = [asdict(one) for one in self._by_id.values()]
        found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
        return self._provider.listing(call, found, "Unsubscribers list")

    def _create(self, call: Call) -> Reply:
        fields = fields_of(call)
        made = self.add(
            str(fields.get("receiver") or ""), str(fields.get("type") or "all"), str(fields.get("value") or "")
        )
        return self._provider.good("Receiver added successfully", asdict(made))

    def _clean(self, call: Call) -> Reply:
        self.clear()
        return self._provider.good("Deleted Successfully", [])

    def _show(self, call: Call) -> Reply:
        found = self._by_id.get(call.params["id"])
        return self._provider.missing() if found is None else self._provider.good("Unsubscribers data", asdict(found))

    def _edit(self, call: Call) -> Reply:
        found = self._by_id.get(call.params["id"])
        if found is None:
            return self._provider.missing()
        fields = fields_of(call)
        found.type = _type(str(fields.get("type", found.type)))
        self._by_receiver[found.receiver].remove(found)
        found.receiver, found.value = str(fields.get("receiver", found.receiver)), str(fields.get("value", found.value))
        self._by_receiver.setdefault(found.receiver, []).append(found)
        return self._provider.good("Receiver update successfully", asdict(found))

    def _delete(self, call: Call) -> Reply:
        found = self._by_id.pop(call.params["id"], None)
        if found is None:
            return self._provider.missing()
        self._by_receiver[found.receiver].remove(found)
        return self._provider.good("Deleted Successfully", [])


def _type(kind: str) -> str:
    if kind not in TYPES:
        raise Invalid("type", "The selected type is invalid.")
    return kind
