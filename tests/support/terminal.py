"""The `drumline` command as a shell would run it: words in; exit code, stdout and stderr out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from config import settings as settings_module
from producer import cli

ACCOUNTS = """
[accounts.qikli]
provider = "qikli"
base_url = "http://127.0.0.1:1/qikli"
credentials = { username = "TEST_USER", password = "TEST_PASSWORD" }
"""


class Terminal:
    """Runs commands as a shell would."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self.folder = folder

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self._monkeypatch.setattr("sys.argv", ["drumline", *words])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = self._capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    def json(self, *words: str) -> Any:
        code, out, err = self.run(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    def draft(self, numbers: Sequence[str], *options: str) -> str:
        file = self.folder / "people.csv"
        file.write_text("\n".join(["phone", *numbers, ""]), "utf-8")
        given = ("--template", "Hello", "--route", "qikli", "--sender", "Drumline", "--draft")
        return str(self.json("send", str(file), *given, *options)["id"])


def opened(
    migrated_sqlite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    """A terminal whose commands know an SQLite database and one account, and no setting of this machine."""
    (tmp_path / "accounts.toml").write_text(ACCOUNTS, "utf-8")
    environment = {
        "DRUMLINE_DATABASE_URL": f"sqlite:///{tmp_path / 'test.db'}",
        "DRUMLINE_ACCOUNTS_FILE": str(tmp_path / "accounts.toml"),
        "DRUMLINE_STATE_DIR": str(tmp_path),
        "TEST_USER": "u",
        "TEST_PASSWORD": "p",
        "COLUMNS": "200",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "test.db").write_bytes(migrated_sqlite.read_bytes())
    settings_module.settings.cache_clear()
    yield Terminal(capsys, monkeypatch, tmp_path)
    settings_module.settings.cache_clear()
