"""A report on its way through the database: as a row until it is applied, as a `Report` for whoever applies it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from models.tables import DeliveryReport
from models.types import storable
from providers.base import Failure, FailureClass, Report

_LONGEST_DEDUPE = 200


def dedupe_of(report: Report) -> str:
    """The dedupe key as the column takes it; two long ones never become the same by being cut."""
    key = storable(report.dedupe)
    if len(key) <= _LONGEST_DEDUPE:
        return key
    return key[: _LONGEST_DEDUPE - 65] + "#" + hashlib.sha256(key.encode()).hexdigest()


def row_of(report: Report) -> dict[str, Any]:
    """The columns that say what the report says."""
    return {
        "dedupe": dedupe_of(report),
        "provider_id": report.provider_id,
        "ref": report.ref,
        "msisdn": report.msisdn,
        "state": report.state,
        "raw_status": report.raw_status,
        "details": _details(report),
    }


def _short(text: str | None, length: int) -> str | None:
    return storable(text)[:length] if text else None


def _details(report: Report) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "at": report.at.isoformat() if report.at else None,
        "read_at": report.read_at.isoformat() if report.read_at else None,
        "parts": report.parts if report.parts is not None and 0 <= report.parts < 2**31 else None,
        "price": str(report.price) if report.price is not None else None,
        "currency": _short(report.currency, 8),
        "network": _short(report.network, 64),
        "channel": _short(report.channel, 16),
        "group_id": _short(report.group_id, 128),
    }
    if report.failure:
        facts |= _failure_facts(report.failure)
    return {name: value for name, value in facts.items() if value is not None}


def _failure_facts(failure: Failure) -> dict[str, Any]:
    return {
        "code": storable(failure.code)[:64],
        "klass": str(failure.klass),
        "reason": storable(failure.reason)[:300],
        "opt_out": failure.opt_out or None,
    }


def report_of(row: DeliveryReport) -> Report:
    """The report as the adapter gave it, save what the columns cannot hold."""
    facts = row.details
    return Report(
        dedupe=row.dedupe,
        state=row.state,
        provider_id=row.provider_id,
        ref=row.ref,
        msisdn=row.msisdn,
        raw_status=row.raw_status,
        failure=_failure(facts),
        at=_time(facts.get("at")),
        parts=facts.get("parts"),
        price=Decimal(facts["price"]) if "price" in facts else None,
        currency=facts.get("currency"),
        network=facts.get("network"),
        channel=facts.get("channel"),
        read_at=_time(facts.get("read_at")),
        group_id=facts.get("group_id"),
    )


def _failure(facts: Mapping[str, Any]) -> Failure | None:
    if "code" not in facts:
        return None
    klass = FailureClass(facts["klass"])
    return Failure(facts["code"], klass, facts["reason"], opt_out=facts.get("opt_out", False))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
