"""The style's own promises: contrast of every pair of tokens that meet, in both schemes; nothing from elsewhere."""

from __future__ import annotations

import re

import pytest

from producer.web.render import HERE, STATIC

CSS = (STATIC / "drumline.css").read_text("utf-8")
TEXT, GRAPHIC = 4.5, 3.0  # WCAG 2.2: 1.4.3 and 1.4.11

PAIRS = [
    ("ink", "bg", TEXT), ("ink", "surface", TEXT), ("ink", "sunken", TEXT), ("muted", "bg", TEXT),
    ("muted", "surface", TEXT), ("muted", "sunken", TEXT), ("accent", "bg", TEXT), ("accent", "surface", TEXT),
    ("accent-ink", "accent", TEXT), ("ink", "accent-soft", TEXT), ("good", "good-soft", TEXT),
    ("good", "surface", TEXT),
    ("busy", "busy-soft", TEXT), ("warn", "warn-soft", TEXT), ("bad", "bad-soft", TEXT), ("bad", "surface", TEXT),
    ("ink", "warn-soft", TEXT), ("ink", "bad-soft", TEXT), ("surface", "bad", TEXT),
    ("line-strong", "surface", GRAPHIC),
    ("fill-good", "surface", GRAPHIC), ("fill-busy", "surface", GRAPHIC), ("fill-bad", "surface", GRAPHIC),
]  # fmt: skip


def tokens(scheme: str) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.S)
    light = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[0]))
    return light if scheme == "light" else {**light, **dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[1]))}


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "back", "least"), PAIRS)
def test_colours_that_meet_can_be_told_apart(scheme: str, front: str, back: str, least: float) -> None:
    found = tokens(scheme)
    assert contrast(found[front], found[back]) >= least


def test_nothing_is_loaded_from_elsewhere_and_the_script_stays_small() -> None:
    sources = {path: path.read_text("utf-8") for path in [*STATIC.iterdir(), *HERE.glob("templates/**/*.html")]}
    for path, text in sources.items():
        shown = text.replace('xmlns="http://www.w3.org/2000/svg"', "").replace("https://flower.example.com", "")
        assert not re.search(r"""(?:src|href|action|url\(|import)=?\s*["'(]?\s*//""", shown), path
        assert "http" not in shown.replace("HTTP", ""), path
    assert len((STATIC / "drumline.js").read_text("utf-8").splitlines()) < 200


def test_no_template_carries_inline_script_or_style() -> None:
    for path in HERE.glob("templates/**/*.html"):
        text = path.read_text("utf-8")
        assert not re.search(r"\sstyle=|\son[a-z]+=\"|<style|javascript:|\|\s*safe", text), path
