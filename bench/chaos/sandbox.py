"""The simulator's control API, as far as a run needs it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from producer.demo.compare import Entry


class Control:
    """Loopback only; every call blocks."""

    def __init__(self, url: str) -> None:
        self._url = url

    def configure(self, settings: Mapping[str, Any]) -> None:
        self._call("POST", "/config", settings)

    def faults(self, rules: Mapping[str, Any]) -> None:
        self._call("POST", "/faults", rules)

    def calm(self) -> None:
        """No faults any more; messages keep what befell them."""
        self._call("DELETE", "/faults")

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._call("GET", "/stats"))
        return found

    def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._call("GET", "/ledger").splitlines() if line.strip()]

    def _call(self, method: str, path: str, body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content


def entry_of(item: Mapping[str, Any]) -> Entry:
    digits = str(item["msisdn"]).lstrip("+")
    return Entry(item["provider"], str(item["id"]), item["ref"], digits, item["text"], item["truth"])
