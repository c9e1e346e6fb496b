"""What some providers can do beyond the protocol. Whoever wants it asks `isinstance`; nobody has to offer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from providers.base import Page, Parsed, Raw
from providers.wire import Reply, Request


@dataclass(frozen=True, slots=True)
class Question:
    """One more harmless request of a probe. `read` gives a line for the operator; raises BadBody with what is wrong.

    `doubt`: a bad answer is worth a warning only, since what it is compared with is not documented.
    """

    about: str
    request: Request
    read: Callable[[Reply], str] = field(repr=False)
    doubt: bool = False


@runtime_checkable
class AsksMore(Protocol):
    """`probe_request` does not tell everything. Nothing here may send a message or consume a report."""

    def questions(self) -> Sequence[Question]: ...


@runtime_checkable
class ListsSenders(Protocol):
    """The answer to `probe_request` lists the sender IDs that the account may use."""

    def sender_ids(self, reply: Reply) -> frozenset[str]:
        """In the form a campaign would write them. Raises BadBody with what is wrong."""
        ...


@runtime_checkable
class HandsOutOnce(Protocol):
    """A page of reports never comes again: even what arrived of a broken one is worth reading."""

    hands_out_once: bool


@runtime_checkable
class KeepsOptOuts(Protocol):
    """The provider has a list of people who said stop; `following` leads on through its pages."""

    def opt_out_pages(self) -> Sequence[Page]: ...

    def opt_out_request(self, page: Page) -> Request: ...

    def parse_opt_outs(self, raw: Raw) -> Parsed: ...
