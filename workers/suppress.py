"""When a refusal or a failed delivery is a reason never to write to the number again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from config.settings import Settings, SettingsError
from models.stopwords import START_WORDS, StopWords, languages
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


@dataclass(frozen=True, slots=True)
class Policy:
    """What the installation wants done with what people and operators say."""

    words: StopWords
    suppress_on: SuppressOn = SuppressOn.OPT_OUT


def suppression_of(msisdn: str, account: str, failure: Failure, now: datetime) -> dict[str, Any]:
    """For every sender: an operator's register does not ask who writes."""
    return {"msisdn": msisdn, "sender": "", "source": f"{account} {failure.code}"[:64], "created_at": now}


def policy_of(settings: Settings) -> Policy:
    """What the settings say of stop words and suppressions. Raises SettingsError naming the variable."""
    try:
        words = languages(_listed(settings.stop_languages))
    except ValueError as error:
        raise SettingsError(f"DRUMLINE_STOP_LANGUAGES: {error}") from error
    stop = StopWords.of(
        [*words, *_listed(settings.stop_words)],
        START_WORDS if settings.start_words else (),
        per_sender=settings.stop_per_sender,
    )
    return Policy(stop, SuppressOn(settings.suppress_on))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
