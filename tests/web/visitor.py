"""Somebody with a browser that keeps cookies and fills in forms, without the browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx

from tests.producer.api.desk import Desk, client

ORIGIN = "http://drumline.test"


@dataclass
class Visitor:
    """`http` keeps the cookies."""

    http: httpx.AsyncClient

    async def sign_in(self, key: str, next_: str = "/", **headers: str) -> httpx.Response:
        form = hidden(await self.http.get("/sign-in", params={"next": next_}))
        given = {"Origin": ORIGIN, **headers}
        return await self.http.post("/sign-in", data={**form, "key": key}, headers=given)

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(path, params=params or None)  # an empty mapping would drop the query of the path

    async def post(self, path: str, page: str = "/", **fields: str) -> httpx.Response:
        """A form as the page `page` would send it: with its token, from our origin."""
        token = hidden(await self.http.get(page))["csrf"]
        return await self.http.post(path, data={"csrf": token, **fields}, headers={"Origin": ORIGIN})


def hidden(answer: httpx.Response) -> dict[str, str]:
    """The hidden fields of the last form of a page."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', answer.text)
    return {name: unescape(value) for name, value in found}


async def visitor(desk: Desk, scope: str | None = None) -> Visitor:
    """Signed in with the desk's key of this scope, or not at all."""
    found = Visitor(client(desk.app, None))
    desk.clients[f"visitor {scope} {len(desk.clients)}"] = found.http
    if scope is not None:
        answer = await found.sign_in(desk.keys[scope])
        assert answer.status_code == 303, answer.text
    return found
