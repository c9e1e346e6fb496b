"""Recorded exchanges in readable form: a request and its answer as HTTP text, one pair per file.

    # what it shows (any number of lines)
    POST /path HTTP/1.1
    header: value

    body
    --- answer
    HTTP/1.1 200 OK
    header: value

    body

Bodies may be laid out over several lines; JSON is compared by value.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from providers.wire import Reply

_MARK = "\n--- answer\n"


@dataclass(frozen=True, slots=True)
class Exchange:
    """`method`, `target` (path and query), headers (lower case) and body of the request, and the answer."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    reply: Reply


def load(path: Path) -> Exchange:
    asked, answered = path.read_text(encoding="utf-8").split(_MARK)
    request_line, headers, body = _message(asked)
    status_line, answer_headers, answer_body = _message(answered)
    method, target, _ = request_line.split(" ")
    reply = Reply(int(status_line.split(" ")[1]), answer_headers, answer_body, 0.01)
    return Exchange(method, target, headers, body, reply)


def _message(written: str) -> tuple[str, dict[str, str], bytes]:
    lines = written.split("\n")
    while lines[0].startswith("#"):
        lines.pop(0)
    head, _, body = "\n".join(lines).partition("\n\n")
    first, *rest = head.strip().split("\n")
    pairs = (line.split(":", 1) for line in rest)
    return first, {name.lower(): value.strip() for name, value in pairs}, body.strip().encode()
