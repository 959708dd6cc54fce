"""How many of what, and which article: the only place where a number meets its noun."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Nouns whose plural is not a matter of an s or of a y.
_IRREGULAR: Final = {"half": "halves", "index": "indices", "person": "people"}
#: Written with a vowel and spoken without (a user, a one-off), and the other way round (an hour).
_CONSONANT: Final = ("uni", "use", "usu", "util", "one", "once", "eu", "ubi")
_VOWEL: Final = ("hour", "honest", "honour", "heir")
#: What is said of one, and of several.
_EITHER: Final = re.compile(r"\{([^{|}]*)\|([^{|}]*)\}")
#: Letters whose names begin with a vowel, for abbreviations that are spelt out: an API, an MLOps engineer, an H100.
_SPELT_WITH_VOWEL: Final = frozenset("AEFHILMNORSX")


def plural(noun: str) -> str:
    """More than one of it; of several words the last one counts.

    >>> plural("replication"), plural("policy"), plural("day"), plural("batch"), plural("ML engineer")
    ('replications', 'policies', 'days', 'batches', 'ML engineers')
    """
    before, space, last = noun.rpartition(" ")
    if last in _IRREGULAR:
        several = _IRREGULAR[last]
    elif last.endswith("y") and last[-2:-1] not in tuple("aeiou"):
        several = f"{last[:-1]}ies"
    else:
        several = f"{last}{'es' if last.endswith(('s', 'x', 'ch', 'sh')) else 's'}"
    return f"{before}{space}{several}"


def counted(number: float, noun: str, several: str | None = None) -> str:
    """So many of it.

    >>> counted(1, "replication"), counted(0, "replication"), counted(1200, "request"), counted(0.5, "ML engineer")
    ('1 replication', '0 replications', '1,200 requests', '0.5 ML engineers')

    Args:
        number: How many.
        noun: What one of it is called.
        several: What several are called, where that does not follow from it.
    """
    shown = f"{number:,.0f}" if number == round(number) else f"{number:,.12g}"
    return f"{shown} {noun if shown == '1' else several or plural(noun)}"


def listed(names: Sequence[str]) -> str:
    """All of them, as a sentence names them.

    >>> listed(["note"]), listed(["note", "codes"]), listed(["speech", "note", "codes"])
    ('note', 'note and codes', 'speech, note and codes')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def joined(reasons: Sequence[str]) -> str:
    """Reasons in one sentence; what several of them begin with, up to a colon, is said once.

    >>> joined(["notes may not use api: it is not approved", "notes may not use api: it is in us", "too dear"])
    'notes may not use api: it is not approved; it is in us; too dear'
    """
    said: list[str] = []
    before = ""
    for reason in reasons:
        about, colon, rest = reason.partition(": ")
        said.append(rest if colon and about == before else reason)
        before = about
    return "; ".join(said)


def elapsed(value_s: float) -> str:
    """How long something takes, in the unit in which it is easily grasped.

    >>> elapsed(1.516), elapsed(90.0), elapsed(599.0), elapsed(30_057.0), elapsed(84_791.0), elapsed(700_000.0)
    ('1.52 s', '90.0 s', '9.98 min', '8.35 h', '23.6 h', '8.10 d')
    """
    for least_s, size_s, unit in ((259_200.0, 86_400.0, "d"), (3600.0, 3600.0, "h"), (300.0, 60.0, "min")):
        if value_s >= least_s:
            return f"{_three_digits(value_s / size_s)} {unit}"
    return f"{value_s:.2f} s" if value_s < 10.0 else f"{value_s:.1f} s"


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def is_or_are(number: float) -> str:
    """The verb after so many.

    >>> is_or_are(1), is_or_are(2), is_or_are(0.5)
    ('is', 'are', 'are')
    """
    return "is" if number == 1 else "are"


def agreeing(text: str, number: int) -> str:
    """A text about one thing or several, from one in which `{one|several}` stands wherever they differ.

    >>> agreeing("{its bill pays|their bills pay} nobody", 1), agreeing("{its bill pays|their bills pay} nobody", 2)
    ('its bill pays nobody', 'their bills pay nobody')
    """
    return _EITHER.sub(lambda found: found[1 if number == 1 else 2], text)


def article(noun: str) -> str:
    """A noun, or what stands before it, after its indefinite article.

    >>> article("note"), article("appeal"), article("hour"), article("user"), article("API"), article("8-bit format")
    ('a note', 'an appeal', 'an hour', 'a user', 'an API', 'an 8-bit format')
    """
    return f"{'an' if _sounds_like_a_vowel(noun) else 'a'} {noun}"


def _sounds_like_a_vowel(words: str) -> bool:
    first = words.split(" ", 1)[0].lstrip("'\"(")
    letters = first.split("-", 1)[0]
    if letters[:1].isdigit():
        return letters.startswith(("8", "11", "18")) and not letters.startswith(("110", "111", "180"))
    spelt = sum(sign.isupper() for sign in letters) > 1 or (
        len(letters) > 1 and any(sign.isdigit() for sign in letters)
    )
    if spelt:
        return letters[:1].upper() in _SPELT_WITH_VOWEL
    lower = first.lower()
    if lower.startswith(_VOWEL):
        return True
    return lower[:1] in tuple("aeiou") and not lower.startswith(_CONSONANT)
