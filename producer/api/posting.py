"""Idempotency-Key on POSTs: how a handler does its work at most once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from producer import idempotency
from producer.api.access import Submitter
from producer.api.context import Context, Here
from producer.api.problems import Problem
from producer.idempotency import AtWork, Claimed, OtherRequest, Owner, Stored

MOST_KEY = 200
_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?").fullmatch

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=MOST_KEY,
        description="Any text unique to this request, a UUID say. Sent again within 24 hours with the same body it "
        "gives the same answer and does nothing; with another body it is refused.",
    ),
]


class Answered(Exception):
    """Ends the handler with an earlier answer."""

    def __init__(self, stored: Stored) -> None:
        super().__init__()
        self.stored = stored


@dataclass
class Posting:
    """One POST, with its Idempotency-Key or without."""

    here: Context
    owner: Owner | None
    digest: str
    _claimed: Claimed | None = field(default=None, init=False)
    _done: bool = field(default=False, init=False)

    @contextmanager
    def once(self) -> Iterator[None]:
        """The work. Raises Answered if it was done before, Problem if it is at work or the key is another's."""
        self._begin()
        try:
            yield
        finally:
            if self._claimed is not None and not self._done:
                with self.here.database.write() as session:
                    idempotency.release(session, self._claimed)

    def _begin(self) -> None:
        if self.owner is None:
            return
        with self.here.database.write() as session:
            found = idempotency.claim(session, self.owner, self.digest, self.here.now())
        match found:
            case Claimed():
                self._claimed = found
            case Stored():
                raise Answered(found)
            case AtWork(retry_after):
                raise Problem(409, "in-progress", "ask again shortly", headers={"Retry-After": str(retry_after)})
            case OtherRequest():
                detail = "it was sent before with another method, path or body; use a new key for a new request"
                raise Problem(409, "idempotency-conflict", detail)

    def settle(
        self, session: Session, status: int, answer: BaseModel, kept: BaseModel | None = None
    ) -> Callable[[], Response]:
        """Keep the answer in the transaction of the last effect; the response, to be made after its commit. `kept`:
        what a repeat is answered instead, where the answer holds a secret that is stored nowhere."""
        body = answer.model_dump_json().encode()
        if self._claimed is not None:
            stored = body if kept is None else kept.model_dump_json().encode()
            idempotency.settle(session, self._claimed, status, stored)
        return lambda: self._respond(status, body)

    def _respond(self, status: int, body: bytes) -> Response:
        self._done = True
        return Response(body, status, media_type="application/json")

    def run(self, status: int, work: Callable[[Session], BaseModel]) -> Response:
        """Work that is one transaction."""
        return self.run_once_shown(status, lambda session: (work(session), None))

    def run_once_shown(self, status: int, work: Callable[[Session], tuple[BaseModel, BaseModel | None]]) -> Response:
        """The same; `work` also says what a repeat is answered instead of the first answer."""
        with self.once():
            with self.here.database.write() as session:
                respond = self.settle(session, status, *work(session))
            return respond()


def replayed(stored: Stored) -> Response:
    """The answer of the first time."""
    return Response(stored.body, stored.status, {"Idempotent-Replayed": "true"}, "application/json")


def owner_of(caller: Submitter, key: KeyHeader = None) -> Owner | None:
    """Whose key, if one was sent."""
    if key is None:
        return None
    if not _PRINTABLE(key):
        raise Problem(422, "invalid-request", "Idempotency-Key: expected 1 to 200 printable ASCII characters")
    return Owner(caller.key_id, key)


KeyOwner = Annotated[Owner | None, Depends(owner_of)]


async def posting(request: Request, here: Here, owner: KeyOwner) -> Posting:
    """The posting of a request with a JSON body or none."""
    return Posting(here, owner, digest_of(request, hashlib.sha256(await request.body()).digest()))


def digest_of(request: Request, body_digest: bytes) -> str:
    """Of method, path, query and body; length-prefixed by JSON, so that no two requests share one."""
    parts = [request.method, request.url.path, request.url.query, body_digest.hex()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


Once = Annotated[Posting, Depends(posting)]
