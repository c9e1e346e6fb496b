"""What an answer, or its absence, means for each message of a request, and for the attempt's row. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from providers.base import Accepted, Outcome, Refused, Submission, Unclear
from providers.wire import NotSent, OutcomeUnknown, Reply
from workers.chunk import Chunk

Answer = Reply | NotSent | OutcomeUnknown


def failed(chunk: Chunk, error: NotSent | OutcomeUnknown) -> Submission:
    return Submission({one.message.id: Unclear(error.reason) for one in chunk.due})


def outcome_of(submission: Submission, answer: Answer, message_id: str) -> Outcome | NotSent:
    if isinstance(answer, NotSent):
        return answer
    found = submission.outcomes.get(message_id)
    return Unclear("missing in the adapter's reading") if found is None else found


def status_of(answer: Answer) -> int | None:
    match answer:
        case Reply(status=status):
            return status
        case OutcomeUnknown(partial=partial):
            return partial
        case _:
            return None


def word_of(outcomes: Iterable[Outcome | NotSent]) -> str:
    """The worst of a request's outcomes."""
    kinds = {type(outcome) for outcome in outcomes}
    for kind, word in ((Unclear, "unknown"), (NotSent, "not_sent"), (Refused, "refused"), (Accepted, "accepted")):
        if kind in kinds:
            return word
    return "accepted"


def reason_of(outcomes: Iterable[Outcome | NotSent]) -> str | None:
    for outcome in outcomes:
        if isinstance(outcome, Unclear):
            return outcome.reason
        if isinstance(outcome, Refused):
            return f"{outcome.failure.code}: {outcome.failure.reason}"
        if isinstance(outcome, NotSent):
            return outcome.reason
    return None
