"""The Dockerfile by hadolint's rules that matter, and what goes into the image."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch

from config.settings import ROOT
from tests.production.compose_file import instructions

LINES = instructions(ROOT / "Dockerfile")
LAST = LINES[max(place for place, (word, _) in enumerate(LINES) if word == "FROM") :]


def of(word: str, lines: list[tuple[str, str]] = LINES) -> list[str]:
    return [rest for name, rest in lines if name == word]


def test_two_stages_from_one_pinned_base() -> None:
    (base,) = of("ARG")
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+", base)
    assert of("FROM") == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]


def test_every_package_comes_from_the_lock_by_its_hash() -> None:
    installs = [run for run in of("RUN") if "pip install" in run]
    assert installs
    assert all("--require-hashes -r /tmp/requirements.lock" in run for run in installs)
    assert "PIP_NO_CACHE_DIR=1" in " ".join(of("ENV"))
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    pinned = re.findall(r"^[\w.\[\]-]+==", lock, re.M)
    assert len(pinned) > 40
    assert lock.count("--hash=sha256:") >= len(pinned)


def test_nothing_is_fetched_added_or_left_behind() -> None:
    assert of("ADD") == []
    runs = " ".join(of("RUN"))
    for tool in ("curl", "wget", "git clone", "sudo", "apt-get"):
        assert tool not in runs


def test_it_runs_as_a_user_who_cannot_change_the_program() -> None:
    (user,) = of("USER", LAST)
    assert user == "10001:10001"
    place = [word for word, _ in LAST].index("USER")
    assert {word for word, _ in LAST[place + 1 :]} <= {"VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    copies = [copy for copy in of("COPY", LAST) if "--from=" not in copy]
    assert copies
    assert all(copy.startswith("--chown=root:root ") for copy in copies)


def test_commands_are_in_exec_form() -> None:
    for word in ("ENTRYPOINT", "CMD"):
        (rest,) = of(word, LAST)
        assert isinstance(json.loads(rest), list)
    (check,) = of("HEALTHCHECK", LAST)
    assert isinstance(json.loads(check.partition("CMD ")[2]), list)


def test_no_secret_is_baked_in() -> None:
    assert not re.search(r"password|secret|token|api_key", " ".join([*of("ENV"), *of("ARG")]), re.IGNORECASE)


def test_the_context_holds_what_is_copied_and_no_secret() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {copy.split()[-2] for copy in of("COPY") if "--from=" not in copy}
    assert copied == let_in
    kept_out = [rule for rule in rules[1:] if not rule.startswith("!")]
    for secret in ("config/accounts.toml", "config/.env", "examples/sandbox.env"):
        assert [rule for rule in kept_out if fnmatch(secret, rule.replace("**/", "*/"))], secret


def test_every_room_is_in_the_image() -> None:
    copied = {copy.split()[-2] for copy in of("COPY", LAST) if "--from=" not in copy}
    assert {"config", "models", "providers", "producer", "workers", "sandbox"} <= copied
