"""Cutting due messages into requests: nothing lost, order kept, nothing over the cap."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from config.accounts import Counts, Limit
from providers.base import Outgoing
from tests.support.cases import message
from workers.chunks import Cap, cut, request_cap

MESSAGES = st.lists(st.integers(1, 12), max_size=60).map(
    lambda sizes: [message(id=f"m{place}", segments=size) for place, size in enumerate(sizes)]
)
CAPS = st.builds(Cap, st.integers(1, 20), st.none() | st.integers(1, 30))


@given(MESSAGES, CAPS)
def test_every_message_is_in_exactly_one_chunk_in_order(messages: list[Outgoing], cap: Cap) -> None:
    chunks = list(cut(messages, cap))
    assert [one for chunk in chunks for one in chunk] == messages
    assert all(chunks)


@given(MESSAGES, CAPS)
def test_no_chunk_is_over_the_cap_save_a_message_that_is_so_alone(messages: list[Outgoing], cap: Cap) -> None:
    for chunk in cut(messages, cap):
        assert len(chunk) <= cap.recipients
        if cap.segments is not None and len(chunk) > 1:
            assert sum(one.segments for one in chunk) <= cap.segments


@given(MESSAGES, CAPS)
def test_no_chunk_is_smaller_than_it_had_to_be(messages: list[Outgoing], cap: Cap) -> None:
    chunks = list(cut(messages, cap))
    for chunk, following in pairwise(chunks):
        full = len(chunk) == cap.recipients
        too_long = cap.segments is not None and sum(m.segments for m in (*chunk, following[0])) > cap.segments
        assert full or too_long


def test_a_request_never_costs_more_than_a_window_holds() -> None:
    limits = (Limit(10, 1.0, Counts.MESSAGES), Limit(4, 60.0, Counts.MESSAGES), Limit(100, 1.0, Counts.SEGMENTS))
    assert request_cap(1000, limits) == Cap(4, 100)
    assert request_cap(1000, (Limit(2, 1.0, Counts.REQUESTS),)) == Cap(1000, None)
