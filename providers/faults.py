"""Why an exchange failed, in words of ours, without the words of the library that may quote a URL with its token.

A reason explains; it never decides whether the request was sent (`providers.mark` does).
"""

import asyncio
import errno
import os
import socket
import ssl
from enum import StrEnum

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError


class Reason(StrEnum):
    """Short codes for logs, metrics and the attempts of a message."""

    # known not sent
    INVALID_REQUEST = "invalid_request"  # our own mistake: no retry will help
    CLOSED = "client_closed"
    POOL_TIMEOUT = "pool_timeout"
    CONNECT_TIMEOUT = "connect_timeout"
    DNS = "dns"
    REFUSED = "refused"
    CONNECT = "connect_failed"
    TLS = "tls"
    PROXY = "proxy"
    STALE_CONNECTION = "stale_connection"  # ended, or out of step, before we wrote
    TOO_LATE = "too_late"  # the caller's right to send ended first
    # unknown
    READ_TIMEOUT = "read_timeout"
    DISCONNECTED = "disconnected"
    RESET = "reset"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    BODY_TOO_LARGE = "body_too_large"
    BAD_CODING = "bad_content_encoding"
    SECOND_WRITE = "second_write"
    BROKEN = "broken"


class Fault(Exception):
    """One exchange failed; `detail` is free of secrets. Inside the HTTP layer only: callers see a `WireError`."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


# What the HTTP libraries may raise for reasons of the network or of the request. Anything else is a programming error.
FAILURES: tuple[type[Exception], ...] = (
    aiohttp.ClientError,
    HttpProcessingError,
    OSError,  # with TimeoutError, ConnectionError, ssl.SSLError
    EOFError,  # with asyncio.IncompleteReadError
    ValueError,  # an unusable URL or header, refused while the request is built
    RuntimeError,  # the session, connector or loop was closed under us
)

# The first class that fits, so the special ones stand before their parents.
_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (aiohttp.ConnectionTimeoutError, Reason.CONNECT_TIMEOUT),
    (aiohttp.SocketTimeoutError, Reason.READ_TIMEOUT),
    (aiohttp.ClientConnectorDNSError, Reason.DNS),
    (aiohttp.ClientConnectorCertificateError, Reason.TLS),
    (aiohttp.ClientConnectorSSLError, Reason.TLS),
    (aiohttp.ClientProxyConnectionError, Reason.PROXY),
    (aiohttp.ClientHttpProxyError, Reason.PROXY),
    (aiohttp.ClientConnectorError, Reason.CONNECT),
    (aiohttp.ClientPayloadError, Reason.TRUNCATED),
    (aiohttp.ServerDisconnectedError, Reason.DISCONNECTED),
    (aiohttp.ClientResponseError, Reason.MALFORMED),
    (HttpProcessingError, Reason.MALFORMED),
    (aiohttp.InvalidURL, Reason.INVALID_REQUEST),
    (aiohttp.NonHttpUrlClientError, Reason.INVALID_REQUEST),
    (socket.gaierror, Reason.DNS),
    (ssl.SSLError, Reason.TLS),
    (TimeoutError, Reason.READ_TIMEOUT),
    (asyncio.IncompleteReadError, Reason.DISCONNECTED),
    (OSError, Reason.RESET),
    (ValueError, Reason.INVALID_REQUEST),
    (RuntimeError, Reason.CLOSED),
)

# What a reason is called when the request had not been written yet, or had been.
_BEFORE_WRITE = {
    Reason.RESET: Reason.STALE_CONNECTION,
    Reason.DISCONNECTED: Reason.STALE_CONNECTION,
    Reason.BROKEN: Reason.STALE_CONNECTION,
    Reason.READ_TIMEOUT: Reason.CONNECT_TIMEOUT,
}
_AFTER_WRITE = {
    Reason.INVALID_REQUEST: Reason.BROKEN,
    Reason.CLOSED: Reason.BROKEN,
    Reason.TLS: Reason.RESET,
    Reason.CONNECT_TIMEOUT: Reason.READ_TIMEOUT,
}


def fault_of(error: Exception) -> Fault:
    """The fault behind an exception of aiohttp, ssl or the socket."""
    reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.BROKEN)
    if reason is Reason.CONNECT and error_number(error) == errno.ECONNREFUSED:
        reason = Reason.REFUSED
    return Fault(reason, describe(error))


def fitting(fault: Fault, written: bool) -> Fault:
    """The fault under the name it has before, or after, the first byte: a reset before it is a stale connection."""
    names = _AFTER_WRITE if written else _BEFORE_WRITE
    return Fault(names.get(fault.reason, fault.reason), fault.detail)


def describe(error: BaseException) -> str:
    """The kind of an error and what the operating system or TLS says of it. Never `str(error)`: it may hold a URL."""
    words = _words(getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error)
    return f"{type(error).__name__} ({words})" if words else type(error).__name__


def _words(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return error.verify_message
        case ssl.SSLError():
            return error.reason or ""
        case socket.gaierror():
            return error.strerror or ""
    number = error_number(error)
    return os.strerror(number) if number else ""


def error_number(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None
