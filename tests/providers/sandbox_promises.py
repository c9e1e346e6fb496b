"""What every adapter must make of its simulator's faults: the same promises for all four."""

from __future__ import annotations

from typing import Any

from providers.base import Misconfigured, Throttle
from tests.support.fates import WAITS, Fate, Story, Trouble, story_of
from tests.support.simulated import PATIENCE, Bench


async def keep(here: Bench, trouble: Trouble) -> tuple[Story, Any]:
    """One message through one fault: its fate, the account's signal, and what the simulator really did."""
    one = here.message()
    await here.live.faults(here.name, trouble.rule)
    adapter = here.rebuild(timeout=PATIENCE) if trouble.endless else here.adapter
    story = await story_of(here.client, adapter, [one])
    await here.live.faults(here.name)
    assert story.fates == (trouble.fate,), story
    assert len(await here.live.ledger(here.name)) == int(trouble.taken)
    if trouble.fate is Fate.REFUSED:
        assert story.classes == {trouble.klass}
    _check_signal(trouble, story)
    return story, one


def _check_signal(trouble: Trouble, story: Story) -> None:
    match trouble.kind:
        case "throttle":
            assert isinstance(story.signal, Throttle)
            named, expected = story.signal.retry_after, WAITS[trouble.params["form"]]
            assert named == expected or (named and expected and expected - 1 <= named <= expected)
        case "unauthorized":
            assert isinstance(story.signal, Misconfigured)
        case "malformed" | "slow_body":
            assert not isinstance(story.signal, Misconfigured | Throttle)
