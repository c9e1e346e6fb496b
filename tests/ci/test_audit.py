"""The audit of the locked packages never calls clean what nobody looked at."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

import pytest

from config.settings import ROOT


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("drumline_audit", str(ROOT / ".ci" / "audit"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = made
    write, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(made)
    sys.dont_write_bytecode = write
    return made


GOOD: dict[str, Any] = {"name": "httpx", "version": "0.28.1", "vulns": []}
BAD: dict[str, Any] = {"name": "oldlib", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNSEEN: dict[str, Any] = {"name": "kombu", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([GOOD], 0, "clean: 1 packages audited"),
        ([GOOD, BAD], 1, "oldlib 1.0: PYSEC-1, mended in 1.1"),
        ([BAD, UNSEEN], 1, "VULNERABLE"),
        ([UNSEEN, UNSEEN], 3, "NOT AUDITED: the vulnerability service was not reachable"),
        ([GOOD, UNSEEN], 3, "NOT AUDITED: 1 of 2 packages (kombu)"),
        ([], 3, "NOT AUDITED"),
    ],
)
def test_clean_is_said_only_of_what_was_audited(
    audit: ModuleType, packages: list[dict[str, Any]], code: int, said: str
) -> None:
    verdict = audit.judge(0, json.dumps({"dependencies": packages}), "")
    assert verdict.code == code
    assert said in "\n".join(verdict.lines)
    assert ("clean" in "\n".join(verdict.lines)) == (code == 0)


def test_an_audit_that_broke_off_is_no_audit(audit: ModuleType) -> None:
    verdict = audit.judge(1, "", "Traceback\nConnectionError: no route to host\n")
    assert (verdict.code, verdict.lines) == (
        3,
        ("NOT AUDITED: pip-audit ended with 1: ConnectionError: no route to host",),
    )


@pytest.mark.parametrize(("arguments", "code"), [([], 3), (["--may-be-unreachable"], 0)])
def test_unreachable_passes_only_where_that_was_allowed(
    audit: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
) -> None:
    monkeypatch.setattr(audit, "run", lambda *_: audit.judge(0, json.dumps({"dependencies": [UNSEEN]}), ""))
    assert audit.main(arguments) == code
    assert "NOT AUDITED" in capsys.readouterr().out


def test_a_known_flaw_fails_even_where_unreachable_is_allowed(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "run", lambda *_: audit.judge(1, json.dumps({"dependencies": [BAD]}), ""))
    assert audit.main(["--may-be-unreachable"]) == 1
