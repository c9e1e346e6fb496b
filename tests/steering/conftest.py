"""A world to steer campaigns in, on both databases."""

import pytest

from models.database import Database
from tests.steering.world import World


@pytest.fixture
def world(database: Database) -> World:
    return World(database)
