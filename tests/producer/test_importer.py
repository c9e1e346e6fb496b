"""Importing: everything or nothing, any number of files, and sending while the file is still being read."""

from __future__ import annotations

import gzip
import io
import json
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from models.database import Database
from models.queries import counts, recount
from models.states import CampaignState, MessageState
from models.tables import Batch, CampaignCount, Message, MessageNumber, Source
from producer import campaigns, import_feed
from producer.campaigns import CampaignError
from producer.dispatch import dispatch
from producer.import_feed import ImportDied
from producer.importer import Importer
from producer.readers import FileError
from producer.suppressions import add_suppressions
from tests.producer.plan_support import (
    ACCOUNTS,
    NOW,
    batches_of,
    campaign_of,
    draft,
    importer,
    messages_of,
    people,
    rejects_of,
)
from tests.producer.test_readers_xlsx import workbook
from workers.sweep import complete_campaigns, fail_dead_imports

BROKEN = gzip.compress(people(12_000), mtime=0)[:-20]


def file(data: bytes) -> io.BytesIO:
    return io.BytesIO(data)


@pytest.fixture(params=["here", "child"])
def way(request: pytest.FixtureRequest) -> dict[str, int]:
    """Where the deciding is done."""
    return {"child_from": 1 if request.param == "child" else 1 << 40}


def saved(folder: Path, data: bytes, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_every_row_becomes_a_message_or_a_reject(database: Database, way: dict[str, int], tmp_path: Path) -> None:
    campaign_id = draft(database, route={"qikli": 70, "quicksms": 30}, validity=3600)
    data = people(1_000) + b"+33639980007,Twice,x\nnobody,No,x\n"
    done = importer(database, **way).run(campaign_id, saved(tmp_path, data))
    assert (done.accepted, done.rejected, done.rows, done.number_column) == (1_000, 2, 1_002, "phone")
    found = messages_of(database, campaign_id)
    assert [message.row_no for message in found] == list(range(2, 1_002))
    first = found[0]
    assert (first.msisdn, first.country, first.text, first.reference) == ("+33639980000", "FR", "Hi P0", "r0")
    assert (first.state, first.segments, first.encoding, first.sender) == (MessageState.QUEUED, 1, "GSM7", "MyStore")
    assert Counter(message.account for message in found) == {"qikli": 700, "quicksms": 300}
    assert [reject.code for reject in rejects_of(database, campaign_id)] == ["duplicate", "number_letters"]
    with database.read() as session:
        numbers = session.execute(select(MessageNumber.msisdn, MessageNumber.message_id)).all()
        assert sorted(numbers) == sorted((message.msisdn, message.id) for message in found)
        assert counts(session, campaign_id) == recount(session, campaign_id)
    sizes = Counter(message.batch_id for message in found)
    assert {batch.id: batch.size for batch in batches_of(database, campaign_id)} == sizes
    campaign = campaign_of(database, campaign_id)
    assert (campaign.state, campaign.rows_total, campaign.segments_total) == (CampaignState.DRAFT, 1_002, 1_000)
    assert campaign.import_until is None


def test_a_text_that_all_share_is_kept_once_and_written_for_gsm7(database: Database) -> None:
    campaign_id = draft(database, template="“Sale” – today", gsm7_only=True)
    importer(database).run(campaign_id, file(people(3)))
    assert {message.text for message in messages_of(database, campaign_id)} == {None}
    assert {message.encoding for message in messages_of(database, campaign_id)} == {"GSM7"}
    assert campaign_of(database, campaign_id).common_text == '"Sale" - today'


def test_a_file_that_breaks_at_its_end_leaves_nothing(database: Database, way: dict[str, int], tmp_path: Path) -> None:
    campaign_id = draft(database)
    with pytest.raises(FileError, match="nothing of it was imported"):
        importer(database, **way).run(campaign_id, saved(tmp_path, BROKEN))
    with database.read() as session:
        for table in (Message, MessageNumber, Batch, CampaignCount):
            assert session.execute(select(table)).first() is None
    campaign = campaign_of(database, campaign_id)
    assert (campaign.state, campaign.rows_total) == (CampaignState.FAILED, 0)
    assert "archive" in str(campaign.state_reason)


def test_files_add_up_and_no_number_comes_twice(database: Database, way: dict[str, int], tmp_path: Path) -> None:
    campaign_id = draft(database)
    here = importer(database, **way)
    assert here.run(campaign_id, saved(tmp_path, people(30), "a.csv")).source_no == 1
    second = here.run(campaign_id, saved(tmp_path, people(30, start=20), "b.csv"))
    assert (second.accepted, second.rejected, second.source_no) == (20, 10, 2)
    assert [(m.source_no, m.row_no) for m in messages_of(database, campaign_id)][29:31] == [(1, 31), (2, 12)]
    assert {(r.source_no, r.code) for r in rejects_of(database, campaign_id)} == {(2, "duplicate")}
    campaign = campaign_of(database, campaign_id)
    assert (campaign.rows_accepted, campaign.rows_rejected, campaign.segments_total) == (50, 10, 50)
    with database.read() as session:
        files = session.execute(select(Source).order_by(Source.number)).scalars().all()
        assert [(one.name, one.state, one.rows_accepted) for one in files] == [
            ("a.csv", "done", 30),
            ("b.csv", "done", 20),
        ]
        assert counts(session, campaign_id) == recount(session, campaign_id)


def test_a_broken_second_file_leaves_the_first_as_it_was(database: Database, tmp_path: Path) -> None:
    campaign_id = draft(database)
    here = importer(database)
    here.run(campaign_id, file(people(25, start=19_000)))
    before = {message.id for message in messages_of(database, campaign_id)}
    with pytest.raises(FileError):
        here.run(campaign_id, saved(tmp_path, BROKEN))
    campaign = campaign_of(database, campaign_id)
    assert (campaign.state, campaign.rows_total, campaign.segments_total) == (CampaignState.DRAFT, 25, 25)
    assert {message.id for message in messages_of(database, campaign_id)} == before
    with database.read() as session:
        assert counts(session, campaign_id) == recount(session, campaign_id)
    assert here.run(campaign_id, file(people(5))).accepted == 5  # and it takes further files


def test_only_a_draft_takes_files(database: Database) -> None:
    campaign_id = draft(database)
    importer(database).run(campaign_id, file(people(1)))
    with database.write() as session:
        campaigns.start(session, campaign_id, NOW)
    with pytest.raises(CampaignError, match="is running"):
        importer(database).run(campaign_id, file(people(1)))


FORMATS = {
    "ndjson": b'{"to": "+33639980000", "variables": {"name": "P0"}, "reference": "r0"}\n',
    "gzip": gzip.compress(people(1), mtime=0),
    "semicolons": people(1).replace(b",", b";"),
}


@pytest.mark.parametrize("data", FORMATS.values(), ids=list(FORMATS))
def test_every_format_gives_the_same_message(database: Database, data: bytes) -> None:
    campaign_id = draft(database)
    importer(database).run(campaign_id, file(data))
    (message,) = messages_of(database, campaign_id)
    assert (message.msisdn, message.text, message.reference) == ("+33639980000", "Hi P0", "r0")


def test_a_workbook_gives_the_same_message(database: Database) -> None:
    campaign_id = draft(database)
    cells = [["phone", "name", "reference"], ["+33639980000", "P0", "r0"]]
    importer(database).run(campaign_id, file(workbook(cells)))
    (message,) = messages_of(database, campaign_id)
    assert (message.msisdn, message.text, message.reference) == ("+33639980000", "Hi P0", "r0")


def test_opted_out_numbers_are_left_out_globally_and_by_sender(
    database: Database, way: dict[str, int], tmp_path: Path
) -> None:
    with database.write() as session:
        add_suppressions(session, ["+33639980000"], "", "test", NOW)
        add_suppressions(session, ["+33639980001"], "MyStore", "test", NOW)
        add_suppressions(session, ["+33639980002"], "Another", "test", NOW)
    campaign_id = draft(database)
    done = importer(database, **way).run(campaign_id, saved(tmp_path, people(3)))
    assert (done.accepted, done.rejected) == (1, 2)
    assert {reject.code for reject in rejects_of(database, campaign_id)} == {"suppressed"}


def test_an_open_file_without_a_name_goes_to_the_child_from_where_it_stands(database: Database, tmp_path: Path) -> None:
    path = saved(tmp_path, b"rubbish before the list\n" + people(5))
    campaign_id = draft(database)
    with path.open("rb") as stream:
        stream.seek(24)
        assert importer(database, child_from=1).run(campaign_id, stream).accepted == 5


def test_a_child_that_dies_is_an_error_and_leaves_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = draft(database)
    here = importer(database, child_from=1, chunk=100)

    def kill(accepted: int, rejected: int) -> None:
        for child in children:
            child.send_signal(signal.SIGKILL)

    children: list[subprocess.Popen[bytes]] = []
    spawn = import_feed._spawn

    def spawned(files: tuple[int, ...]) -> subprocess.Popen[bytes]:
        children.append(spawn(files))
        return children[-1]

    monkeypatch.setattr(import_feed, "_spawn", spawned)
    here.progress = kill
    with pytest.raises(ImportDied, match="-9"):
        here.run(campaign_id, saved(tmp_path, people(20_000)))
    assert messages_of(database, campaign_id) == []
    assert campaign_of(database, campaign_id).state is CampaignState.FAILED


# --- sending while importing -----------------------------------------------------------------------------------------


def watched(database: Database, jobs: list[str], **changes: object) -> Importer:
    """An importer after whose every slice the dispatcher runs."""
    here = importer(database, chunk=1_000, **changes)
    here.progress = lambda accepted, rejected: jobs.extend(["job"] * dispatch(database, ACCOUNTS, _no_queue, NOW_LATER))
    return here


NOW_LATER = NOW + timedelta(hours=1)


def _no_queue(*_: object, **__: object) -> None:
    """The broker is not of interest here."""


def test_a_streaming_campaign_sends_before_its_file_is_read(
    database: Database, way: dict[str, int], tmp_path: Path
) -> None:
    campaign_id = draft(database, stream=True)
    states: list[tuple[CampaignState, int]] = []
    woken: list[int] = []
    here = importer(database, chunk=1_000, wake=lambda: woken.append(1), **way)

    def look(accepted: int, rejected: int) -> None:
        dispatch(database, ACCOUNTS, _no_queue, NOW_LATER)
        with database.write() as session:
            complete_campaigns(session, NOW_LATER)  # must not end what is still being read
        states.append((campaign_of(database, campaign_id).state, accepted))

    here.progress = look
    here.run(campaign_id, saved(tmp_path, people(3_000)))
    assert states[0] == (CampaignState.RUNNING, 100)
    assert woken == [1]
    assert any(batch.dispatched_at for batch in batches_of(database, campaign_id))
    campaign = campaign_of(database, campaign_id)
    assert (campaign.state, campaign.import_until, campaign.rows_accepted) == (CampaignState.RUNNING, None, 3_000)


def test_a_broken_streaming_file_stops_at_its_row_and_says_how_many_left(database: Database, tmp_path: Path) -> None:
    campaign_id = draft(database, stream=True)
    with pytest.raises(FileError):
        importer(database).run(campaign_id, saved(tmp_path, BROKEN))
    campaign = campaign_of(database, campaign_id)
    found = messages_of(database, campaign_id)
    assert campaign.state is CampaignState.PAUSED
    assert 0 < len(found) < 12_000
    assert f"{len(found)} messages are in, 0 of them have left" in str(campaign.state_reason)
    assert f"read up to row {found[-1].row_no}" in str(campaign.state_reason)
    with database.read() as session:
        assert counts(session, campaign_id) == recount(session, campaign_id)


def test_pausing_a_streaming_campaign_does_not_end_its_import(database: Database) -> None:
    campaign_id = draft(database, stream=True)
    here = importer(database, chunk=500)

    def pause(accepted: int, rejected: int) -> None:
        with database.write() as session:
            campaigns.pause(session, campaign_id, "wait", NOW)

    here.progress = pause
    assert here.run(campaign_id, file(people(2_000))).accepted == 2_000
    assert campaign_of(database, campaign_id).state is CampaignState.PAUSED


def test_cancelling_a_streaming_campaign_ends_its_import(database: Database) -> None:
    campaign_id = draft(database, stream=True)
    here = importer(database, chunk=500)

    def cancel(accepted: int, rejected: int) -> None:
        with database.write() as session:
            campaigns.cancel(session, campaign_id, "wrong list", NOW)

    here.progress = cancel
    with pytest.raises(CampaignError, match="became cancelled"):
        here.run(campaign_id, file(people(2_000)))
    campaign = campaign_of(database, campaign_id)
    assert (campaign.state, campaign.import_until) == (CampaignState.CANCELLED, None)
    assert len(messages_of(database, campaign_id)) == 100


def test_streaming_and_a_start_time_exclude_each_other(database: Database) -> None:
    with pytest.raises(CampaignError, match="start time"):
        draft(database, stream=True, start_at=NOW_LATER)


# --- an importer that died -------------------------------------------------------------------------------------------


class Died(BaseException):
    """Stands for a kill: nothing of the importer runs after it."""


def die_while_importing(database: Database, monkeypatch: pytest.MonkeyPatch, **changes: object) -> UUID:
    campaign_id = draft(database, **changes)
    here = importer(database, chunk=500)

    def stop(accepted: int, rejected: int) -> None:
        if messages_of(database, campaign_id):
            raise Died

    here.progress = stop
    monkeypatch.setattr(here, "_end", lambda job, reason: None)
    with pytest.raises(Died):
        here.run(campaign_id, file(people(2_000)))
    return campaign_id


def test_what_a_dead_importer_left_is_taken_back(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign_id = die_while_importing(database, monkeypatch)
    assert messages_of(database, campaign_id)
    for _ in range(50):
        with database.write() as session:
            if not fail_dead_imports(session, NOW_LATER):
                break
    campaign = campaign_of(database, campaign_id)
    assert (campaign.state, campaign.rows_total) == (CampaignState.FAILED, 0)
    with database.read() as session:
        for table in (Message, MessageNumber, Batch, CampaignCount):
            assert session.execute(select(table)).first() is None


def test_a_dead_streaming_importer_pauses_its_campaign(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign_id = die_while_importing(database, monkeypatch, stream=True)
    with database.write() as session:
        assert fail_dead_imports(session, NOW_LATER) == 1
        assert fail_dead_imports(session, NOW_LATER) == 0
    campaign = campaign_of(database, campaign_id)
    assert campaign.state is CampaignState.PAUSED
    assert "100 messages are in, 0 of them have left" in str(campaign.state_reason)


def test_rows_of_json_keep_their_line_numbers(database: Database) -> None:
    campaign_id = draft(database)
    lines = [json.dumps({"to": f"+3363998000{n}", "name": f"P{n}"}) for n in range(3)]
    importer(database).run(campaign_id, file("\n".join(["", *lines, ""]).encode()))
    assert [message.row_no for message in messages_of(database, campaign_id)] == [2, 3, 4]


def test_what_no_database_stores_is_a_bad_row_and_stops_no_other(database: Database) -> None:
    campaign_id = draft(database)
    rows = b'{"to": "+33639980000", "name": "A\\u0000"}\n{"to": "+33639980001", "name": "B"}\n'
    done = importer(database).run(campaign_id, file(rows))
    assert (done.accepted, done.rejected) == (1, 1)
    assert [reject.code for reject in rejects_of(database, campaign_id)] == ["row_nul"]


def test_the_child_loads_no_database_library() -> None:
    """It would take most of the time until a stream's first message."""
    code = "import sys, producer.import_child; print({'sqlalchemy', 'psycopg'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "set()\n"
