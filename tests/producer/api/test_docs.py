"""docs/api.md is true: its Python runs, and its curl calls exist."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from pathlib import Path

import uvicorn

from tests.producer.api.desk import Desk

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found
    return found


async def test_the_documents_python_runs_as_it_stands(desk: Desk) -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(desk.app, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve([listening]))
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "\n".join(blocks("python")),
            env={"DRUMLINE": f"http://127.0.0.1:{listening.getsockname()[1]}", "KEY": desk.keys["submit"]},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(child.communicate(), 60)
    finally:
        server.should_exit = True
        await serving
    assert child.returncode == 0, output.decode()
    assert output.decode().splitlines() == [
        "running {'queued': 2} 0% final",
        "order-17 +447700900123 queued ['queued']",
        "order-18 +447700900124 queued ['queued']",
    ]


async def test_every_curl_call_of_the_document_exists(desk: Desk) -> None:
    paths = desk.app.openapi()["paths"]
    calls = re.findall(
        r"curl -s (-X \w+ )?\"?\$DRUMLINE([^\s\"?]+)([^#]*?)(?=\ncurl|\nexport|\n#|\n\n|$)", "\n\n".join(blocks("sh"))
    )
    assert len(calls) == 9
    for method, path, rest in calls:
        verb = method[3:].strip().lower() or ("post" if "-d '" in rest or "--data-binary" in rest else "get")
        assert verb in paths[path.replace("$ID", "{campaign_id}")], (verb, path)
