"""A sandbox on a free loopback port, a client for it, and a receiver for what it pushes."""

from collections.abc import AsyncIterator

import pytest

from tests.sandbox.lab import Lab, Receiver, open_lab, open_receiver


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab() as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as opened:
        yield opened
