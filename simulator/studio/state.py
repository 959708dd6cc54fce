"""What the page is about: a session, the answers to it, and which variants were looked up."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any

from simulator.studio.controls import controls_of
from simulator.studio.question import Question
from simulator.studio.session import with_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from simulator.scenario.schema import Scenario
    from simulator.scenario.yaml_source import Document
    from simulator.studio.answer import Answer
    from simulator.studio.controls import Control, Key
    from simulator.studio.desk import Desk
    from simulator.studio.session import Session


class _Known:
    """A variant, its answer, and the number of the desk's answer when that was looked up."""

    def __init__(self, base: Document, changes: Mapping[Key, str]) -> None:
        self.question = Question(with_changes(base, changes))
        self.answer: Answer | None = None
        self.at = -1


@dataclass(slots=True)
class Studio:
    """What the page is about: one session, and who answers it.

    Attributes:
        session: The scenario and its changes.
        desk: Who answers.
        store: Where simulations are kept.
        export: Keeps a run of a scenario with its report, and says where that is.
        stamp: Counts the changes.
        saved: What this page wrote, by file; there it may write again, while the file says so.
        looked_up: Variants that were looked up, by what was changed.
        shown: A scenario and its controls.
        lock: Held while the session changes.
    """

    session: Session
    desk: Desk
    store: Path
    export: Callable[[Scenario], Path]
    stamp: int = 0
    saved: dict[Path, str] = field(default_factory=dict)
    looked_up: dict[tuple[tuple[Key, str], ...], _Known] = field(default_factory=dict)
    shown: tuple[Scenario | None, list[Control]] = (None, [])
    lock: Any = field(default_factory=RLock)

    def become(self, session: Session) -> None:
        """Take the next state, and ask about it where it is another question."""
        with self.lock:
            asked = session.scenario.sha256 != self.session.scenario.sha256
            self.session, self.stamp = session, self.stamp + 1
            if asked:
                self.desk.ask(session.scenario)

    def change(self, key: Key, text: str) -> tuple[Mapping[Key, str], list[Key]]:
        """Change one value: faults by key, and the keys that are no longer at fault."""
        with self.lock:
            before = self.session.faults
            self.become(self.session.changed({key: text}))
            now = self.session.faults
            return now, [one for one in before if one not in now]

    def variants(self) -> list[tuple[str, Answer | None, str]]:
        """The file, every variant and what is in force: name, what is known, what was changed."""
        with self.lock:
            session = self.session
        kept = {"as in the file": {}, **session.variants}
        number, current, _, _ = self.desk.state
        rows = [(name, self._known(session, changes, number), _listed(changes)) for name, changes in kept.items()]
        asked = current if current is not None and current.scenario is session.scenario else None
        return [*rows, ("now", asked, _listed(session.changes))] if session.changes else rows

    def _known(self, session: Session, changes: Mapping[Key, str], number: int) -> Answer | None:
        """What is known of a variant without simulating; looked up again once it may be known more finely."""
        key = tuple(changes.items())
        if key not in self.looked_up:
            self.looked_up[key] = _Known(session.base, changes)
        known = self.looked_up[key]
        if known.at != number and (known.answer is None or not known.answer.fineness.whole):
            known.at, known.answer = number, self.desk.known(known.question)
        return known.answer

    def said(self, key: Key) -> str | None:
        """What a control shows."""
        session = self.session
        if (text := session.pending.get(key, session.changes.get(key))) is not None:
            return text
        return next((one.value for one in self.controls if one.key == key), None)

    @property
    def controls(self) -> list[Control]:
        """Every control of the scenario in force."""
        scenario = self.session.scenario
        if self.shown[0] is not scenario:
            self.shown = scenario, controls_of(scenario)
        return self.shown[1]


def _listed(changes: Mapping[Key, str]) -> str:
    return "; ".join(f"{'.'.join(key)}: {text or 'none'}" for key, text in changes.items()) or "nothing"
