"""Recipient files: streamed, everything or nothing, no file left behind."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select
from starlette.types import Message as Message_

from models.tables import Batch, Message, Reject
from tests.producer.api.desk import Desk, csv_file, open_desk, people


async def upload(desk: Desk, campaign_id: str, body: object, kind: str = "text/csv", **query: str) -> httpx.Response:
    return await desk.submit.post(
        f"/v1/campaigns/{campaign_id}/recipients",
        content=body,  # type: ignore[arg-type]  # bytes or an iterator of them, as httpx takes
        params=query,
        headers={"Content-Type": kind} if kind else {},
    )


def nothing_left(desk: Desk) -> bool:
    with desk.database.read() as session:
        rows = [
            session.execute(select(func.count()).select_from(table)).scalar_one() for table in (Message, Batch, Reject)
        ]
    return rows == [0, 0, 0] and desk.left_over() == []


NDJSON = "".join(json.dumps(row) + "\n" for row in people(3)).encode()


def zipped(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("people.csv", content)
    return target.getvalue()


GOOD = [
    (csv_file(3), "text/csv"),
    (csv_file(3), "text/csv; charset=utf-8"),
    (csv_file(3).decode().encode("utf-16"), "text/csv"),
    (csv_file(3).replace(b"P1", b"\xe4"), "text/csv; charset=iso-8859-1"),
    (csv_file(3), "application/octet-stream"),
    (csv_file(3), ""),
    (NDJSON, "application/x-ndjson"),
    (gzip.compress(csv_file(3), mtime=0), "application/gzip"),
    (gzip.compress(csv_file(3), mtime=0), "text/csv"),
    (gzip.compress(NDJSON, mtime=0), "application/x-ndjson"),
    (zipped(csv_file(3)), "application/zip"),
]


@pytest.mark.parametrize(("body", "kind"), GOOD)
async def test_every_format_is_imported_and_counted(desk: Desk, body: bytes, kind: str) -> None:
    campaign_id = await desk.draft()
    answer = await upload(desk, campaign_id, body, kind)
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert (done["rows"], done["accepted"], done["rejected"]) == (3, 3, 0)
    assert done["rejects"] == f"/v1/campaigns/{campaign_id}/rejects.csv"
    assert desk.left_over() == []
    assert (await desk.submit.post(f"/v1/campaigns/{campaign_id}/start")).json()["state"] == "running"


async def test_a_file_may_come_as_part_of_a_form(desk: Desk) -> None:
    campaign_id = await desk.draft()
    answer = await desk.submit.post(
        f"/v1/campaigns/{campaign_id}/recipients",
        files={"file": ("people.csv", csv_file(3), "text/csv")},
        data={"note": "ignored"},
    )
    assert (answer.status_code, answer.json()["accepted"]) == (200, 3)
    assert (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["source"] == "people.csv"


async def test_the_caller_may_name_column_and_delimiter(desk: Desk) -> None:
    body = csv_file(3, "who;name").replace(b",", b";")
    answer = await upload(desk, await desk.draft(), body, column="who", delimiter=";")
    assert (answer.status_code, answer.json()["number_column"]) == (200, "who")


async def test_bad_rows_are_listed_and_good_ones_are_kept(desk: Desk) -> None:
    campaign_id = await desk.draft()
    body = csv_file(2) + b'=cmd|"/c calc"!A1,X\n+447700900000,again\n'
    done = (await upload(desk, campaign_id, body)).json()
    assert (done["accepted"], done["rejected"]) == (2, 2)
    listed = (await desk.read.get(done["rejects"])).text.splitlines()
    assert [line.split(",")[0] for line in listed] == ["row", "4", "5"]
    assert "duplicate" in listed[2]


BROKEN = [
    (b"", "text/csv", "invalid-file"),
    (b"\n\n\n", "text/csv", "invalid-file"),
    (b"name,town\nAda,London\n", "text/csv", "invalid-file"),
    (b"phone\n+447700900001\n", "text/csv", "invalid-file"),  # the template needs a name
    (gzip.compress(csv_file(900), mtime=0)[:-9], "application/gzip", "invalid-file"),
    (zipped(csv_file(900))[:-30], "application/zip", "invalid-file"),
    (b"\x1f\x8b" + b"junk" * 30, "application/gzip", "invalid-file"),
    (b"%PDF-1.7 " + b"x" * 200, "application/octet-stream", "invalid-file"),
    (b"\x00\x01\x02" * 500, "application/octet-stream", "invalid-file"),
    (b"<html><body>502</body></html>", "text/csv", "invalid-file"),
    (b'[{"phone": "+447700900001"}]', "", "invalid-file"),
    (csv_file(3), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "invalid-file"),
    (csv_file(3), "text/csv; charset=klingon", "invalid-file"),
    (csv_file(3), "application/json", "unsupported-media-type"),
    (csv_file(3), "application/x-www-form-urlencoded", "unsupported-media-type"),
    (csv_file(3), "multipart/form-data; boundary=x", "invalid-request"),
    (csv_file(3), "multipart/form-data", "invalid-request"),
    (b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nphone,na", "multipart/form-data; boundary=x",
     "invalid-request"),
    (b"--x\r\nContent-Disposition: form-data; name=note\r\n\r\nhi\r\n--x--\r\n", "multipart/form-data; boundary=x",
     "invalid-request"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "problem"), BROKEN)
async def test_a_broken_file_leaves_nothing_behind_and_says_why(
    desk: Desk, body: bytes, kind: str, problem: str
) -> None:
    answer = await upload(desk, await desk.draft(), body, kind)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["type"] == f"/problems/{problem}"
    assert nothing_left(desk)


async def test_a_file_broken_at_its_last_byte_leaves_no_message_and_a_failed_campaign(desk: Desk) -> None:
    campaign_id = await desk.draft()
    # More than one chunk of the import, and nothing that packs well.
    lines = "".join(f"+1202555{n % 100 + 100:04},{sha256(str(n).encode()).hexdigest()}\n" for n in range(12_000))
    body = gzip.compress(("phone,name\n" + lines).encode(), mtime=0)[:-4]
    answer = await upload(desk, campaign_id, body, "application/gzip")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-file")
    assert nothing_left(desk)
    assert (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["state"] == "failed"
    assert (await desk.submit.post(f"/v1/campaigns/{campaign_id}/start")).status_code == 409


async def test_a_connection_that_breaks_during_the_upload_leaves_nothing(desk: Desk) -> None:
    campaign_id = await desk.draft()
    arriving: list[Message_] = [
        {"type": "http.request", "body": csv_file(100), "more_body": True},
        {"type": "http.disconnect"},
    ]
    headers = {"authorization": f"Bearer {desk.keys['submit']}", "content-type": "text/csv"}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": f"/v1/campaigns/{campaign_id}/recipients", "query_string": b"", "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()], "client": ("127.0.0.1", 1),
    }  # fmt: skip

    async def receive() -> Message_:
        return arriving.pop(0)

    async def send(message: Message_) -> None:
        answered.append(message)

    answered: list[Message_] = []
    await desk.app(scope, receive, send)
    assert answered[0]["status"] == 400
    assert nothing_left(desk)
    assert (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["state"] == "draft"


async def test_an_upload_over_the_cap_is_refused_told_or_not(tmp_path: Path, desk: Desk) -> None:
    async def untold() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 1000

    async with open_desk(desk.database, tmp_path / "small", max_upload=5000) as small:
        campaign_id = await small.draft()
        for body in (b"x" * 5001, untold()):
            answer = await upload(small, campaign_id, body)
            assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
        assert small.left_over() == []


async def test_only_a_draft_takes_recipients_and_only_one_that_is_there(desk: Desk) -> None:
    running = await desk.draft(recipients=people(1), start=True)
    assert (await upload(desk, running, csv_file(2))).status_code == 409
    absent = await upload(desk, "00000000-0000-0000-0000-000000000000", csv_file(2))
    assert (absent.status_code, absent.json()["type"]) == (404, "/problems/not-found")


async def test_two_files_in_one_form_are_refused(desk: Desk) -> None:
    files = [("file", ("a.csv", csv_file(1), "text/csv")), ("file", ("b.csv", csv_file(1), "text/csv"))]
    answer = await desk.submit.post(f"/v1/campaigns/{await desk.draft()}/recipients", files=files)
    assert answer.status_code == 422
    assert nothing_left(desk)
