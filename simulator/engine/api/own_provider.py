"""An API provider of one's own: code that says what is admitted and how long an answer takes."""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING, Any

from simulator.errors import SimulatorError
from simulator.extensions import find

if TYPE_CHECKING:
    from simulator.engine.api.rate_limit import Admission
    from simulator.scenario.apis import MeteredApi

_MAY: tuple[str, ...] = "wait_s", "took", "answer_s", "usd"


class OwnProvider:
    """What an object of one's own says of an API; where it lacks a method, the scenario's keys hold.

    Attributes:
        admits: Whether it says what is admitted (`wait_s`, `took`).
        answers: Whether it says how long an answer takes (`answer_s`).

    Raises:
        SimulatorError: It has none of the methods.
    """

    def __init__(self, name: str, made: Any) -> None:  # noqa: ANN401 - it need not be of any type
        if not any(hasattr(made, one) for one in _MAY):
            raise SimulatorError(f"the API provider '{name}' has none of {', '.join(_MAY)}")
        self._name, self._made = name, made
        self.admits, self.answers = hasattr(made, "wait_s"), hasattr(made, "answer_s")

    def wait_s(self, now_s: float, prompt_tokens: int, max_tokens: int) -> float:
        """Seconds after which trying again makes sense; 0 where a request would be admitted now."""
        said = self._made.wait_s(now_s, prompt_tokens, max_tokens)
        (wait_s,) = _numbers((said,), 1)
        if not 0.0 <= wait_s < inf:
            raise SimulatorError(f"wait_s of the API provider '{self._name}' must give seconds from 0 on, not {said!r}")
        return wait_s

    def took(self, now_s: float, end_s: float, prompt_tokens: int, output_tokens: int) -> None:
        """A request was admitted and occupies it until `end_s`."""
        if hasattr(self._made, "took"):
            self._made.took(now_s, end_s, prompt_tokens, output_tokens)

    def answer_s(
        self, now_s: float, prompt_tokens: int, output_tokens: int, share: tuple[float, float]
    ) -> tuple[float, float]:
        """Seconds from admission to the first token, and to the last one.

        Raises:
            SimulatorError: They are no times.
        """
        said = self._made.answer_s(now_s, prompt_tokens, output_tokens, share)
        first_s, last_s = _numbers(said, 2)
        if 0.0 <= first_s <= last_s < inf:
            return first_s, last_s
        raise SimulatorError(
            f"answer_s of the API provider '{self._name}' must give seconds to the first and to the last token, "
            f"not {said!r}"
        )


def _numbers(said: Any, count: int) -> list[float]:  # noqa: ANN401 - whatever it gave
    """So many numbers; NaN for each where it gave something else."""
    try:
        found = [float(one) for one in said]
    except (TypeError, ValueError):
        found = []
    return found if len(found) == count else [nan] * count


class OwnAdmission:
    """Admission as a provider of one's own says.

    Args:
        provider: The provider.
    """

    __slots__ = ("_admitted_s", "_provider")

    def __init__(self, provider: OwnProvider) -> None:
        self._provider, self._admitted_s = provider, 0.0

    def retry_after_s(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:  # noqa: ARG002
        """See `Admission`."""
        return self._provider.wait_s(now_s, prompt_tokens, max_tokens)

    def admit(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """See `Admission`."""
        self._admitted_s = now_s
        return self.retry_after_s(now_s, prompt_tokens, cached_tokens, max_tokens)

    def settle(self, end_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int, output_tokens: int) -> None:  # noqa: ARG002
        """See `Admission`."""
        self._provider.took(self._admitted_s, end_s, prompt_tokens, output_tokens)


def provider_of(api: MeteredApi) -> OwnProvider | None:
    """The provider of one's own that an API names, made anew; None where it names none."""
    one = api.provider
    return None if one is None else OwnProvider(one.name, find("api_providers", one.name)(**one.options))


def own_admission(provider: OwnProvider | None) -> Admission | None:
    """Its admission; None where it leaves that to the scenario."""
    return OwnAdmission(provider) if provider is not None and provider.admits else None
