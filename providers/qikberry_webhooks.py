"""Who may push to us in Qikberry's name.

Three layers, each used as far as the account has it, and none of them optional once configured: the unguessable part
of the URL, the webhook's secret as a bearer token, and the `Signature` header. An account with none of them takes no
push at all: the provider's addresses vary, so nothing else tells it from anybody.

Qikberry developer documentation, "Webhook Verification" and "Signature". The signature's algorithm is not documented
there, only that the webhook's id is the secret; taken is what the delivery package whose retry rules the document
quotes does by default: hex HMAC-SHA256 over the raw body; the option `signature_algorithm` names another hash.
"""

from __future__ import annotations

import hmac

import orjson

from providers.base import Forged, Genuine, Handshake, Push, Verdict
from providers.qikberry_bodies import load_push
from providers.qikberry_options import Account
from providers.shared import same_secret

_LONGEST_CHALLENGE = 512


def verify(account: Account, secret: str | None, path_token: str | None, push: Push) -> Verdict:
    """Whether a push is the provider's, and how to answer it."""
    if not (secret or path_token or account.verify_signature):
        return Forged("the account has no webhook secret, token or signature: nothing proves a push")
    if path_token and not same_secret(push.path_token, path_token):
        return Forged("the URL's token is not the account's")
    challenge = _challenge(push)
    if challenge is not None:
        return _handshake(account, secret, push, challenge)
    failed = next((check for check in (_bearer(secret, push), _signature(account, push)) if check), None)
    return Forged(failed) if failed else Genuine()


def _bearer(secret: str | None, push: Push) -> str | None:
    """What is wrong with the bearer token, or None."""
    if not secret:
        return None
    scheme, _, given = push.headers.get("authorization", "").partition(" ")
    return (
        None if scheme.lower() == "bearer" and same_secret(given.strip(), secret) else "the bearer secret is not ours"
    )


def _signature(account: Account, push: Push) -> str | None:
    """A GET has no body to sign: its signature would be the same for every content."""
    if not account.verify_signature:
        return None
    if not push.body:
        return "nothing is signed: the push has no body"
    given = push.headers.get("signature", "").strip().lower()
    ours = sign(account.webhook_id, push.body, account.signature_algorithm)
    return None if same_secret(given, ours) else "the signature does not fit the body"


def sign(key: str, body: bytes, algorithm: str = "sha256") -> str:
    """The signature of a raw body, keyed by the webhook's id, in lower-case hex."""
    return hmac.new(key.encode(), body, algorithm).hexdigest()


def _challenge(push: Push) -> str | None:
    """The text to return if this is the verification request: a validation key and a challenge, and no report."""
    if b'"challenge"' not in push.body or len(push.body) > 10_000:
        return None
    try:
        body = load_push(push.body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict) or body.keys() & {"event", "status", "payload", "mobile"}:
        return None
    challenge = body.get("challenge")
    return challenge if isinstance(challenge, str) and 0 < len(challenge) <= _LONGEST_CHALLENGE else None


def _handshake(account: Account, secret: str | None, push: Push, challenge: str) -> Verdict:
    """The query's token must be ours. (`validation_key` in the body is not compared: in the provider's own sample the
    two differ.) The bearer secret may be missing here, but not be a wrong one."""
    if not same_secret(push.query.get("token"), account.verification_token):
        return Forged("the verification token is not the account's")
    if "authorization" in push.headers and (wrong := _bearer(secret, push)):
        return Forged(wrong)
    return Handshake(orjson.dumps({"challenge": challenge}))
