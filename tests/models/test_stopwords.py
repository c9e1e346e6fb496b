from __future__ import annotations

import pytest

from models.stopwords import START_WORDS, STOP_WORDS, Meaning, StopWords, folded, languages

ENGLISH = StopWords.of(languages(["en"]), START_WORDS)
ALL = StopWords.of(languages(["all"]), START_WORDS)


@pytest.mark.parametrize(
    "text",
    ["STOP", "stop", "Stop.", " sToP! ", "STOP please", "Stop, I am not interested", "STOPALL", "opt-out", "Opt out",
     "OPTOUT", "unsubscribe me", "“Stop”", "ＳＴＯＰ", "st\u00adop", "END", "cancel!", "stop\nSent from my phone"],
)  # fmt: skip
def test_stop_is_understood_however_it_is_written(text: str) -> None:
    assert ENGLISH.meaning(text) is Meaning.STOP


@pytest.mark.parametrize(
    "text",
    ["", "...", "please don't stop", "nonstop", "stopped by yesterday", "End of May suits me", "Cancel the 3 pm slot",
     "Where is the bus stop?", "S T O P"],
)  # fmt: skip
def test_what_only_mentions_a_stop_word_stops_nothing(text: str) -> None:
    assert ENGLISH.meaning(text) is None


@pytest.mark.parametrize("text", ["START", "unstop", "Opt in", "subscribe please"])
def test_start_is_understood(text: str) -> None:
    assert ENGLISH.meaning(text) is Meaning.START


@pytest.mark.parametrize("word", sorted(word for words in STOP_WORDS.values() for word in words))
def test_every_word_of_every_language_stops_in_any_case_and_with_any_mark(word: str) -> None:
    assert folded(word)
    for text in (word, word.upper(), f"¡{word}!", f"  {word}。"):
        assert ALL.meaning(text) is Meaning.STOP


@pytest.mark.parametrize(("text", "meant"), [("Arrêt", "ARRET"), ("ARRÊTER", "arreter"), ("Désabonner", "desabonner")])
def test_accents_do_not_matter(text: str, meant: str) -> None:
    assert folded(text) == folded(meant)


def test_only_the_chosen_languages_count() -> None:
    assert StopWords.of(languages(["de"])).meaning("abmelden") is Meaning.STOP
    assert ENGLISH.meaning("abmelden") is None


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(ValueError, match="'xx'"):
        languages(["en", "xx"])
