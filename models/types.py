"""Column types that behave the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, SmallInteger, String, Text, bindparam
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator

from models.plain import is_storable, new_id, storable

__all__ = ["Money", "SmallCount", "Told", "UtcDateTime", "Word", "is_storable", "new_id", "storable"]

_NANO = Decimal(10) ** 9
_RICH = Decimal(9) * 10**9
_SMALL = 32_767


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, always UTC. A naive one is a programming error and refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Told(TypeDecorator[str]):
    """A text somebody else wrote (a provider, a file): cut to `length` characters, without what PostgreSQL refuses.

    PostgreSQL takes no NUL, no half of a surrogate pair and not one character too many; one such answer would stop
    the whole transaction, with everybody else's answers in it.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length)
        self.length = length
        if length is None:
            self.impl = Text()  # type: ignore[assignment]  # after construction it is an instance

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)[: self.length]


class SmallCount(TypeDecorator[int]):
    """A small number somebody else told; one that cannot be (below 0 or over 32,767) is not kept."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        return value if value is not None and 0 <= value <= _SMALL else None


class Money(TypeDecorator[Decimal]):
    """An exact amount, kept as whole billionths so that both databases can sum it.

    What is no amount (NaN, infinity, nine billion and more) is not kept.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        if value is None or not value.is_finite() or abs(value) >= _RICH:
            return None
        return int((value * _NANO).to_integral_value(ROUND_HALF_EVEN))

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(int(value)) / _NANO


class Word(TypeDecorator[StrEnum]):
    """A StrEnum kept as its text; an unknown word in the database is an error, not a silent string.

    What a column of words is compared with stands in the statement itself, in the order of the enumeration, and is no
    parameter: SQLite uses an index of some states only where it reads the very condition that the index was made with.
    Without, every look for what waits for a report read all messages (2.5 s of ten millions).
    """

    impl = String(20)
    cache_ok = True

    class comparator_factory(TypeDecorator.Comparator[StrEnum]):  # noqa: N801  # the library's name for it
        """Puts words into the statement. They are ours, never somebody's text."""

        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            kind = self.expr.type
            if not isinstance(kind, Word):
                return super().operate(op, *other, **kwargs)
            if op in (operators.eq, operators.ne) and isinstance(other[0], StrEnum):
                word = bindparam(None, other[0], type_=kind, unique=True, literal_execute=True)
                return super().operate(op, word, **kwargs)
            if op in (operators.in_op, operators.not_in_op) and isinstance(other[0], list | tuple | set | frozenset):
                known = list(kind.words)
                words = sorted(other[0], key=lambda word: known.index(kind.words(word)))
                given = bindparam(None, words, type_=kind, unique=True, expanding=True, literal_execute=True)
                return super().operate(op, given, **kwargs)
            return super().operate(op, *other, **kwargs)

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words
        self._known = {word.value: word for word in words}  # calling the enumeration costs five times as much

    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        return None if value is None else (value if isinstance(value, self.words) else self.words(value)).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self._known.get(value) or self.words(value)
