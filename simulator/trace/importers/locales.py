"""Numbers as tables write them where a comma parts the fraction or something parts the thousands: by the whole column.

`1.820` is 1,820 tokens in Germany and no count at all elsewhere; `1.000` alone says neither. So a column is looked at
as a whole, and what nothing in it decides is left as it stands.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What parts thousands: a dot, a comma, apostrophes (Switzerland), blanks, also those that do not break (France).
_GROUPED: Final = re.compile(r"\d{1,3}(?:([.,'\u2019\u00a0\u202f ])\d{3})(?:\1\d{3})*", re.ASCII)
_ZEROS: Final = re.compile(r"(\d+),0*", re.ASCII)
_COMMA: Final = re.compile(r"\d+,\d+", re.ASCII)
_MARKS: Final = ".,'\u2019\u00a0\u202f "


def counts(values: Sequence[Any]) -> Sequence[Any]:
    """Whole numbers without what parts their thousands, where the column shows that something does."""
    texts = {value.strip() for value in values if type(value) is str and not value.isdigit()}
    marked = {text for text in texts if any(mark in text for mark in _MARKS)}
    if not marked:
        return values
    if all(map(_ZEROS.fullmatch, marked)) and not all(map(_GROUPED.fullmatch, marked)):  # 412,00
        return [value.partition(",")[0] if type(value) is str else value for value in values]
    marks = {match[1] if (match := _GROUPED.fullmatch(text)) else "" for text in marked}
    whole = {value.strip() for value in values if type(value) is str} - marked
    if len(marks) > 1 or "" in marks or any(text.isdigit() and len(text) > 3 for text in whole):
        return values
    mark = marks.pop()
    shown = any(not text.endswith("000") or text.count(mark) > 1 for text in marked)
    if mark in ".," and not shown and not any(map(str.isdigit, whole)):
        return values  # 1.000 and nothing else: three decimals, or thousands
    return [value.replace(mark, "").strip() if type(value) is str else value for value in values]


def decimals(values: Sequence[Any]) -> Sequence[Any]:
    """Numbers with a dot before the fraction, where the column shows that a comma stands there."""
    marked = {value.strip() for value in values if type(value) is str and "," in value}
    if not marked or not all(map(_COMMA.fullmatch, marked)) or all(map(_GROUPED.fullmatch, marked)):
        return values
    return [value.replace(",", ".") if type(value) is str else value for value in values]


#: Words of the names of columns in English, German, Dutch and French, without accents; of tokens also who has them.
_TOKENS: Final = re.compile(r"token|jeton")
_WORDS: Final = {
    "a time": re.compile(r"\b(?:zeit|datum|tijd|heure|horodat|date|time|quand|wann)"),
    "tokens of prompts": re.compile(r"eingabe|eingang|prompt|anfrage|invoer|entree|requete|input|vraag"),
    "tokens of outputs": re.compile(r"ausgabe|ausgang|antwort|uitvoer|antwoord|sortie|reponse|completion|output"),
}


def columns_by_words(header: Sequence[str]) -> tuple[str, ...]:
    """Which columns of a table of calls seem to be what, by number; empty where some are not there.

    Names are not told: the first line of a table without any is somebody's.
    """
    plain = [
        re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode())
        for name in header
    ]
    found = []
    for what, words in _WORDS.items():
        places = [
            at for at, name in enumerate(plain, 1)
            if words.search(name) and (what == "a time") != (_TOKENS.search(name) is not None)
        ]  # fmt: skip
        if not places:
            return ()
        found.append(f"{what} in column {places[0]}")
    return tuple(found)
