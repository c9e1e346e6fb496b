"""Somebody who makes a campaign step by step, without a browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from uuid import UUID

import httpx

from tests.producer.api.desk import Desk, csv_file
from tests.web.visitor import ORIGIN, Visitor, hidden, visitor

MESSAGE = {"sender": "MyStore", "kind": "own", "text": "Hi {{ name }}", "absent": "reject"}
TIME = {"account-qikli": "on", "start": "now", "failover": "on"}
COLUMNS = {"use-0": "number", "use-1": "variable", "name-1": "name"}


@dataclass
class Maker:
    """`at` is the address of the draft, once there is one."""

    visitor: Visitor
    at: str = ""
    token: str = ""  # of the session's forms: the same on every page

    @property
    def draft_id(self) -> UUID:
        return UUID(self.at.rsplit("/", 1)[1])

    async def upload(self, data: bytes | None, file_name: str = "people.csv", **fields: str) -> httpx.Response:
        """The first step. Without a token among the fields it is the session's."""
        form = {"csrf": await self.csrf(), "name": "Spring", "go": "next", **fields}
        answer = await self.visitor.http.post(
            f"{self.at}/recipients" if self.at else "/campaigns/new",
            data=form, files={"file": (file_name if data else "", data or b"", "text/csv")}, headers={"Origin": ORIGIN},
        )  # fmt: skip
        if not self.at:
            where = answer.headers.get("location", "") + answer.text
            if found := re.search(r"/campaigns/new/[0-9a-f-]{36}", where):
                self.at = found[0]
        return answer

    async def save(self, step: str, fields: dict[str, str], go: str = "next", **more: str) -> httpx.Response:
        return await self.post(step, {**fields, "go": go, **more})

    async def post(self, step: str, fields: dict[str, str]) -> httpx.Response:
        form = {"csrf": await self.csrf(), **fields}
        return await self.visitor.http.post(f"{self.at}/{step}", data=form, headers={"Origin": ORIGIN})

    async def csrf(self) -> str:
        if not self.token:
            self.token = hidden(await self.visitor.http.get("/campaigns/new"))["csrf"]
        return self.token

    async def page(self, step: str = "") -> httpx.Response:
        return await self.visitor.get(f"{self.at}/{step}" if step else self.at)

    async def prepare(self, data: bytes | None = None, **changes: dict[str, str]) -> httpx.Response:
        """Through all steps up to the check; `changes` by step."""
        assert (await self.upload(csv_file(3) if data is None else data)).status_code == 303
        steps = {"columns": COLUMNS, "message": MESSAGE, "time": TIME}
        for step, fields in steps.items():
            answer = await self.save(step, {**fields, **changes.get(step, {})})
            assert answer.status_code == 303, text_of(answer)
        return await self.page("check")

    async def start(self, how: str = "start", **fields: str) -> httpx.Response:
        """Confirmed as the page says."""
        page = await self.visitor.get(f"{self.at}/start", how=how)
        form = hidden(page)
        return await self.post("start", {"checked": form.get("checked", ""), "how": how, **fields})


async def maker(desk: Desk, scope: str = "submit") -> Maker:
    return Maker(await visitor(desk, scope))


def text_of(answer: httpx.Response) -> str:
    """What a reader sees, more or less."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.text)))
