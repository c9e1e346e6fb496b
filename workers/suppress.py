"""When a refusal or a failed delivery is a reason never to write to the number again."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from providers.base import Failure, FailureClass


class SuppressOn(StrEnum):
    """What is reason enough (setting DRUMLINE_SUPPRESS_ON)."""

    NOTHING = "nothing"
    OPT_OUT = "opt_out"  # the person, or a register the person is in, said no
    RECIPIENT = "recipient"  # that, and every number that is called invalid or barred for good

    def covers(self, failure: Failure) -> bool:
        if failure.opt_out:
            return self is not self.NOTHING
        return self is self.RECIPIENT and failure.klass is FailureClass.RECIPIENT


def suppression_of(msisdn: str, account: str, failure: Failure, now: datetime) -> dict[str, Any]:
    """For every sender: an operator's register does not ask who writes."""
    return {"msisdn": msisdn, "sender": "", "source": f"{account} {failure.code}"[:64], "created_at": now}
