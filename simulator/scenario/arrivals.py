"""What a scenario says about how requests come: bursts, batches, trains, conversations, chains, departments, trends."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.scenario.base import (
    Config,
    Custom,
    Factor,
    Faults,
    FieldError,
    Name,
    PositiveTokens,
    Seconds,
    Share,
    check,
)
from simulator.units import DAY_S

Month = Literal["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
MONTHS: tuple[Month, ...] = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Slots(Config):
    """Appointments: requests cluster about the same minutes of every hour."""

    minutes: Annotated[list[Annotated[int, Field(ge=0, le=59)]], Field(min_length=1, max_length=60)]
    """Minutes past the hour at which they fall due, such as [0, 15, 20, 30, 40, 45]."""
    spread: Annotated[Seconds, Field(le=1800)] = 360.0
    """Furthest a request lies from its slot, to either side (uniform)."""


class PoissonArrivals(Config):
    """Requests people trigger: Poisson around the hour-of-week profile, with day-to-day variation."""

    kind: Literal["poisson"] = "poisson"
    burst_mean: Annotated[float, Field(ge=1, le=1000)] = 1.0
    """Mean size of a burst (geometric); 1 means no bursts. A radiologist signs several reports in a sitting."""
    burst_spacing: Seconds = 5.0
    """Mean gap between the requests of a burst (exponential)."""
    slots: Slots | None = None
    """Minutes of the hour about which bursts (or single requests) cluster; every hour keeps its number."""


class BatchClient(Config):
    """A client that keeps a few requests open and sends the next when one is answered.

    An approximation: the time to answer is assumed here, not taken from the simulation.
    """

    concurrency: Annotated[int, Field(gt=0, le=10_000)]
    """Requests open at a time."""
    answer: Annotated[Seconds, Field(gt=0)]
    """Assumed mean time to answer one."""
    answer_sigma: Annotated[float, Field(ge=0, le=2)] = 0.5
    """Log standard deviation of that time."""


class BatchArrivals(Config):
    """Requests released in batches, each worked off back to back."""

    kind: Literal["batches"]
    every: Annotated[Seconds, Field(gt=0)]
    """Time between releases inside the active hours."""
    spacing: Seconds = 1.0
    """Gap between the requests of a batch as its client sends them."""
    size_sigma: Annotated[float, Field(ge=0, le=3)] = 0.6
    """Log standard deviation of the batch size; the mean follows from the volume."""
    client: BatchClient | None = None
    """How the client works a batch off, instead of at a steady `spacing`."""

    @check
    def _one_pace(self) -> Faults:
        if self.client is not None and "spacing" in self.model_fields_set:
            yield FieldError(("spacing",), "the client's answers set the pace; leave out spacing or client")


class OnOffArrivals(Config):
    """Requests a program sends in trains: one soon after another, then silence."""

    kind: Literal["on_off"]
    train_mean: Annotated[float, Field(ge=1, le=100_000)]
    """Mean requests of a train (geometric)."""
    gap: Annotated[Seconds, Field(gt=0)]
    """Mean gap between the requests of a train (gamma)."""
    gap_variation: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Coefficient of variation of that gap; 1 makes it exponential."""
    idle_sigma: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Log standard deviation of the demand that gathers between one train's start and the next's; 0 is clockwork."""
    clients: Annotated[int, Field(gt=0, le=1000)] = 1
    """Programs that send independently of each other; the trains of one never overlap."""


class AtOnceArrivals(Config):
    """All of its requests are due when the horizon begins: a burst, or with `clients` a closed loop."""

    kind: Literal["at_once"]


class CustomArrivals(Custom):
    """An arrival process of one's own, out of the group `simulator.arrivals`."""


Arrivals = Annotated[
    PoissonArrivals | BatchArrivals | OnOffArrivals | AtOnceArrivals | CustomArrivals, Field(discriminator="kind")
]


class Clients(Config):
    """Clients that send the next request when the last one was answered, or lost; simulated, not assumed.

    Each sends what is due next. What a request waits for a client is no part of its times, and what none comes to by
    the end of the horizon was never asked.
    """

    count: Annotated[int, Field(gt=0, le=100_000)]
    """How many there are: so many requests are under way at most (`vllm bench serve --max-concurrency`)."""
    think: Seconds = 0.0
    """Mean time from an answer to the client's next request."""
    think_kind: Literal["constant", "exponential"] = "constant"
    """Whether that time is always the same."""


class RateVariation(Config):
    """Swings of the request rate about its profile that last minutes or hours: a lognormal multiplier with mean 1."""

    sigma: Annotated[float, Field(gt=0, le=2)]
    """Standard deviation of its logarithm."""
    time_constant: Annotated[Seconds, Field(ge=1, le=7 * DAY_S)]
    """Time in which the correlation of the logarithm with itself falls to 1/e."""


class ThinkTime(Config):
    """Lognormal time between a request and the next of the same conversation, the answer's own time included."""

    median: Annotated[Seconds, Field(gt=0)]
    """Median time."""
    sigma: Annotated[float, Field(ge=0, le=3)]
    """Standard deviation of its logarithm."""


class Follows(Config):
    """A request that begins when another one is answered: a note after its transcript, codes after the note.

    One begins for each answer. Where none comes, refused or given up, nothing follows, and the chain ends there.
    """

    workload: Name
    """The workload whose answers it follows; a synthetic one, which may follow another in turn."""
    delay: Seconds = 0.0
    """Median time from the last token of that answer to this request: a hand-over, or somebody who reads it first."""
    delay_sigma: Annotated[float, Field(ge=0, le=3)] = 0.0
    """Log standard deviation of that time."""
    share: Annotated[Share, Field(gt=0)] = 1.0
    """Share of the answers that are followed."""
    correlation: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Correlation of the ranks of its prompt and of the answer it follows: 1 where a longer transcript always makes a
    longer prompt, 0 where one says nothing of the other. `prompt_tokens` stay distributed as they are stated."""


class Turns(Config):
    """Conversations: each request but the first sends along all that was said before."""

    mean: Annotated[float, Field(ge=1, le=100)]
    """Mean requests of a conversation (geometric)."""
    think: ThinkTime
    """Time from one request to the next."""
    think_from: Literal["request", "answer"] = "request"
    """What that time is counted from. `request`: the request before, its answer included, however long that took.
    `answer`: the end of the answer, which is simulated; where none comes, the conversation is over."""
    question_tokens: PositiveTokens = 50
    """Tokens a further question adds to what was said before."""
    longest: PositiveTokens = 131_072
    """Prompt at which a conversation ends, for it would no longer fit the model."""


class Departments(Config):
    """A workload as the sum of departments, each with its own volume, days, lengths and prefix."""

    count: Annotated[int, Field(gt=0, le=1000)]
    """How many there are."""
    share_sigma: Annotated[float, Field(ge=0, le=3)] = 0.87
    """Log standard deviation of how much they ask; 0.87 is that of physicians using an ambient scribe."""
    length_sigma: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Log standard deviation of a factor, mean 1, on all token lengths of a department, before they are cut."""


class Adoption(Config):
    """Share of those who could use it that do, t after its start: ceiling (1 - exp(-t / time_constant))."""

    ceiling: Share
    """Share in the end."""
    time_constant: Annotated[Seconds, Field(gt=0)]
    """Time after which 63 % of that is reached."""
    since: Seconds = 0.0
    """How long before the horizon it started."""


class Trend(Config):
    """How the volume changes over months and years; `volume` is what it would be without."""

    seasons: dict[Month, Factor] = Field(default_factory=dict)
    """Factor by month of the year (jan to dec); 1 where absent."""
    yearly_growth: Annotated[float, Field(gt=-1, le=10)] = 0.0
    """Growth a year, from the start of the horizon on: 0.43 is 43 %."""
    adoption: Adoption | None = None
    """Share of it that is asked for so far."""
