from models.states import MessageState as S
from tests.support.world import World
from workers.submit import Ended


def test_a_batch_is_submitted_and_done(world: World) -> None:
    sent = world.campaign(5)
    assert world.submit(sent.batch) is Ended.DONE
    assert world.states() == [S.SUBMITTED] * 5
    world.check_counters(sent.id)
