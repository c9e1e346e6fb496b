"""Qikberry's webhooks: creation with the verification handshake, subscriptions, and the reports pushed to them.

Qikberry reference, "Webhook", "Subscription", "Webhook Verification", "Retrying failed webhooks".
"""

from __future__ import annotations

import hmac
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import orjson

from sandbox.core import Route, Routes
from sandbox.exchange import Call, Reply
from sandbox.ledger import Entry
from sandbox.qikberry_request import Invalid, fields_of, local, whole
from sandbox.reports import Push, Wire

if TYPE_CHECKING:
    from sandbox.qikberry import Qikberry

STATUS_EVENT: Final = "sms:message:status"
OPTOUT_EVENT: Final = "sms:unsubscription"
EVENTS: Final = frozenset(
    {STATUS_EVENT, OPTOUT_EVENT}
    | {f"{channel}:{event}" for channel in ("whatsapp", "rcs", "viber") for event in ("message:in", "message:status")}
    | {f"{channel}:unsubscription" for channel in ("whatsapp", "rcs", "viber", "voice")}
    | {"voice:message:out", "vmn:message:in", "contacts:subscriber:subscription"}
)


@dataclass(slots=True, eq=False)
class Hook:
    """A webhook. With a validation key (`token`) it receives nothing until the handshake has succeeded."""

    id: str
    name: str
    uri: str
    secret: str | None
    token: str | None
    status: int
    verified: bool
    created_at: str
    updated_at: str

    @property
    def live(self) -> bool:
        return self.status == 1 and self.verified

    def public(self) -> dict[str, object]:
        shown = ("id", "name", "uri", "secret", "status", "created_at", "updated_at")
        return {name: getattr(self, name) for name in shown} | {"verification_code": self.token}


@dataclass(frozen=True, slots=True)
class Subscription:
    id: str
    event: str
    identity: str
    webhook_id: str


class Hooks:
    def __init__(self, provider: Qikberry) -> None:
        self._provider = provider
        self.hooks: dict[str, Hook] = {}
        self.subscriptions: dict[str, Subscription] = {}

    def routes(self) -> Routes:
        return {
            ("GET", "developer/webhooks"): Route(self._list),
            ("POST", "developer/webhooks"): Route(self._create),
            ("GET", "developer/webhooks/{id}"): Route(self._show),
            ("PUT", "developer/webhooks/{id}"): Route(self._update),
            ("DELETE", "developer/webhooks/{id}"): Route(self._delete),
            ("GET", "developer/subscriptions"): Route(self._list_subscriptions),
            ("POST", "developer/subscriptions"): Route(self._subscribe),
            ("GET", "developer/subscriptions/{id}"): Route(self._show_subscription),
            ("DELETE", "developer/subscriptions/{id}"): Route(self._unsubscribe),
        }

    def clear(self) -> None:
        self.hooks.clear()
        self.subscriptions.clear()

    def known(self, webhook_id: str) -> bool:
        return webhook_id in self.hooks or webhook_id == self._provider.settings.webhook_id

    def target(self, webhook_id: str | None, event: str = STATUS_EVENT) -> Hook | None:
        """The webhook of this request, else the subscribed one, else the account's default (callback_url)."""
        if webhook_id is None:
            subscribed = (found for found in self.subscriptions.values() if found.event == event)
            webhook_id = next((found.webhook_id for found in subscribed), None)
        return self.hooks.get(webhook_id or "") or self._default()

    def push(self, hook: Hook, event: str, payload: dict[str, object], entry: Entry | None, *, final: bool) -> Push:
        """One event on its way to one webhook, written in the configured form."""
        return Push(self._provider, partial(self._wire, hook, event, payload), entry, final=final)

    def _default(self) -> Hook | None:
        settings = self._provider.settings
        if settings.callback_url is None:
            return None
        return Hook(
            settings.webhook_id, "default", settings.callback_url, settings.webhook_secret, None, 1, True, "", ""
        )

    def _wire(self, hook: Hook, event: str, payload: dict[str, object], attempt: int) -> Wire:
        settings = self._provider.settings
        method, url, kind, body = _written(settings.push_form, hook.uri, event, payload)
        headers = {"Content-Type": kind} if body else {}
        if hook.secret:
            headers["Authorization"] = f"Bearer {hook.secret}"
        if settings.signature:
            headers["Signature"] = hmac.new(hook.id.encode(), body, "sha256").hexdigest()
        return Wire(method, url, headers, body)

    # -- the handshake ------------------------------------------------------------------------------------------------

    def _verify(self, hook: Hook) -> None:
        """POST ?token=<key> with a challenge; the webhook is live once the challenge comes back."""
        challenge = f"{self._provider.world.rng.getrandbits(40):010x}"
        make = partial(_handshake, hook, challenge)
        accepted = partial(_verified, hook, challenge)
        self._provider.world.pusher.submit(Push(self._provider, make, accepted=accepted, final=False))

    # -- the API ------------------------------------------------------------------------------------------------------

    def _list(self, call: Call) -> Reply:
        wanted = call.query.get("filter[name]")
        found = [hook.public() for hook in self.hooks.values() if wanted in (None, hook.name, hook.id)]
        return self._provider.listing(call, found, "OK")

    def _create(self, call: Call) -> Reply:
        fields = fields_of(call)
        name, uri = _required(fields, "name"), _required(fields, "uri")
        token, now = fields.get("token") or None, self._now()
        status = _on_or_off(fields.get("status", 1))
        hook = Hook(
            self._provider.new_id(), name, uri, fields.get("secret"), token, status,
            token is None, now, now,
        )  # fmt: skip
        self.hooks[hook.id] = hook
        if token is not None:
            self._verify(hook)
        return self._provider.good("Created Successfully", hook.public())

    def _show(self, call: Call) -> Reply:
        hook = self.hooks.get(call.params["id"])
        return self._provider.missing() if hook is None else self._provider.good("OK", hook.public())

    def _update(self, call: Call) -> Reply:
        hook = self.hooks.get(call.params["id"])
        if hook is None:
            return self._provider.missing()
        fields = fields_of(call)
        hook.name, hook.uri = str(fields.get("name", hook.name)), str(fields.get("uri", hook.uri))
        hook.secret, hook.status = fields.get("secret", hook.secret), _on_or_off(fields.get("status", hook.status))
        hook.updated_at = self._now()
        return self._provider.good("Updated Successfully", hook.public())

    def _delete(self, call: Call) -> Reply:
        """Soft: the webhook turns inactive and an update can bring it back."""
        hook = self.hooks.get(call.params["id"])
        if hook is None:
            return self._provider.missing()
        hook.status = 0
        return self._provider.good("Deleted Successfully", [])

    def _list_subscriptions(self, call: Call) -> Reply:
        return self._provider.listing(call, [asdict(one) for one in self.subscriptions.values()], "Subscriptions List")

    def _subscribe(self, call: Call) -> Reply:
        fields = fields_of(call)
        event, identity, webhook_id = (_required(fields, name) for name in ("event", "identity", "webhook_id"))
        if event not in EVENTS:
            raise Invalid("event", "The selected event is invalid.")
        if not self.known(webhook_id):
            raise Invalid("webhook_id", "The selected webhook id is invalid.")
        made = Subscription(self._provider.new_id(), event, identity, webhook_id)
        self.subscriptions[made.id] = made
        return self._provider.good("Subscription Saved Successfully", asdict(made))

    def _show_subscription(self, call: Call) -> Reply:
        found = self.subscriptions.get(call.params["id"])
        return self._provider.missing() if found is None else self._provider.good("Subscription", asdict(found))

    def _unsubscribe(self, call: Call) -> Reply:
        if self.subscriptions.pop(call.params["id"], None) is None:
            return self._provider.missing()
        return self._provider.good("Subscription Deleted Successfully", [])

    def _now(self) -> str:
        return local(int(self._provider.world.clock.wall()), self._provider.settings.timezone)


def _required(fields: dict[str, Any], name: str) -> str:
    if not fields.get(name):
        raise Invalid(name, f"The {name} field is required.")
    return str(fields[name])


def _on_or_off(value: object) -> int:
    status = whole(value, "status")
    if status not in (0, 1):
        raise Invalid("status", "The selected status is invalid.")
    return status


def _written(form: str, uri: str, event: str, payload: dict[str, object]) -> tuple[str, str, str, bytes]:
    """Method, URL, content type and body."""
    if form == "get":
        return "GET", f"{uri}{'&' if '?' in uri else '?'}{urlencode(payload)}", "", b""
    if form == "form":
        return "POST", uri, "application/x-www-form-urlencoded", urlencode(payload).encode()
    wrapped = {"event": event, "payload": payload} if form.startswith("envelope") else payload
    body = orjson.dumps([wrapped] if form.endswith("list") else wrapped)
    return "POST", uri, "application/json", body


def _handshake(hook: Hook, challenge: str, attempt: int) -> Wire:
    headers = {"Content-Type": "application/json"}
    if hook.secret:
        headers["Authorization"] = f"Bearer {hook.secret}"
    body = orjson.dumps({"validation_key": hook.token, "challenge": challenge})
    return Wire("POST", f"{hook.uri}{'&' if '?' in hook.uri else '?'}{urlencode({'token': hook.token})}", headers, body)


def _verified(hook: Hook, challenge: str, status: int, body: bytes) -> bool:
    """Exactly 200, and the challenge in the answer."""
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    hook.verified = status == 200 and isinstance(answer, dict) and answer.get("challenge") == challenge
    return hook.verified
