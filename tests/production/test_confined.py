"""The stand-in for a container's read-only file system holds, where the kernel can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.production.confined import landlock, read_only_but

DEEDS = {
    "write": "open(path + '/kept', 'w').write('changed')",
    "make": "open(path + '/new', 'w')",
    "folder": "__import__('os').mkdir(path + '/folder')",
    "remove": "__import__('os').unlink(path + '/kept')",
    "cut": "__import__('os').truncate(path + '/kept', 0)",
}


def do(deed: str, folder: Path, writable: list[Path]) -> bool:
    code = f"path = {str(folder)!r}; {DEEDS[deed]}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, preexec_fn=read_only_but(writable))
    return done.returncode == 0


@pytest.mark.parametrize("deed", DEEDS)
def test_writing_is_allowed_in_the_named_folders_alone(deed: str, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "kept").write_text("as it was", "utf-8")
    assert do(deed, inside, [inside])
    assert do(deed, outside, [inside]) == (landlock() < 1)
