"""Numbers of a document on a page, each with where it comes from."""

from __future__ import annotations

import json
from functools import reduce
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Show:
    """Puts numbers of a document on a page, each with where it comes from."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def value(self, path: str) -> Any:  # noqa: ANN401 - JSON is anything
        """What stands at a dotted path; list entries by number."""
        steps = path.split(".")
        return reduce(lambda at, step: at[int(step)] if isinstance(at, list) else at[step], steps, self._document)

    def __call__(self, path: str, how: Callable[[float], str]) -> Markup:
        """The number at a path, as people read it; a dash where there is none."""
        value = self.value(path)
        if value is None:
            return Markup("–")
        return Markup('<data value="{}" data-path="{}">{}</data>').format(json.dumps(value), path, how(value))
