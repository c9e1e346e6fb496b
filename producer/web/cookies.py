"""The dashboard's cookies: HttpOnly, of this origin, and for https alone wherever the page came over it."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request, Response

from producer.api.context import context_of
from producer.sessions import LASTS

SESSION = "drumline_session"
SIGN_IN = "drumline_sign_in"  # before there is a session: what the sign-in form's token is made of
_HOST = "__Host-"  # browsers take such a cookie only when it is Secure, of the whole origin, and set by no neighbour
MOST = 200


def read(request: Request, name: str) -> str:
    """The cookie's value; empty: there is none."""
    return request.cookies.get(_full(request, name), "")[:MOST]


def put(request: Request, response: Response, name: str, value: str) -> None:
    response.set_cookie(
        _full(request, name), value, max_age=int(LASTS.total_seconds()), path="/", secure=is_secure(request),
        httponly=True, samesite="strict" if name == SIGN_IN else "lax",
    )  # fmt: skip


def drop(request: Request, response: Response, name: str) -> None:
    response.delete_cookie(_full(request, name), path="/", secure=is_secure(request), httponly=True)


def is_secure(request: Request) -> bool:
    """Whether the browser speaks https: to us, or to a proxy in front of our public address."""
    public = urlsplit(context_of(request).settings.public_url)
    return request.url.scheme == "https" or (
        public.scheme == "https" and public.netloc == request.headers.get("host", "")
    )


def _full(request: Request, name: str) -> str:
    return _HOST + name if is_secure(request) else name
