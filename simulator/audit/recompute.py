"""The document's figures again, worked out by the package's own arithmetic from the document's premises.

One function for each part of the document gives, by claim, the values of its figures in the order of `claims.json`;
None where there is nothing to work one out from. Tokens are in millions a month, shares in per cent.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from simulator.audit import document as doc
from simulator.cost import tco
from simulator.decision.break_even import blended_price, break_even, capacity_tokens
from simulator.scenario.horizon import Horizon

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.cost.prices import PriceBook
    from simulator.units import TokenPrice

Values = tuple[tco.Number | None, ...]

_CAPACITY_M: Final = Fraction(capacity_tokens(doc.TOKENS_PER_S, doc.MONTH_HOURS), doc.MILLION)


def recomputed(book: PriceBook) -> dict[str, Values]:
    """Every claim's figures, by claim."""
    return {**_api(book), **_cluster(book), **_worked_example(), **_stories()}


def _api_usd(million_tokens: tco.Number) -> tuple[Decimal, Decimal]:
    """What so many tokens cost at the document's lower and upper price."""
    tokens = round(tco.exact(million_tokens) * doc.MILLION)
    return doc.LOWER.cost_usd(tokens), doc.UPPER.cost_usd(tokens)


def _break_even_m(usd: Decimal, price: TokenPrice) -> Fraction:
    return Fraction(break_even(usd, price).tokens_per_month or 0, doc.MILLION)


def _per_million(usd: Decimal, million_tokens: tco.Number) -> Decimal:
    return tco.usd_per_million(usd, tco.exact(million_tokens) * doc.MILLION)


def _capacity_m(share: float) -> Fraction:
    return Fraction(capacity_tokens(doc.TOKENS_PER_S, doc.MONTH_HOURS, share), doc.MILLION)


def _percent_of_capacity(million_tokens: tco.Number, clusters: int = 1) -> Fraction:
    return 100 * tco.exact(million_tokens) / (_CAPACITY_M * clusters)


def _api(book: PriceBook) -> Mapping[str, Values]:
    """API prices and what follows from them (lines 58-100, 579)."""
    turbo = book.api("azure/gpt-4-turbo")
    blended = [
        blended_price(turbo.prompt, turbo.output, prompt_tokens=prompt, output_tokens=1).usd_per_million
        for prompt in (3, 1)
    ]
    text_gb = Fraction(1000 * doc.MILLION * doc.BYTES_PER_TOKEN, 10**9)
    egress_usd = text_gb * tco.exact(doc.EGRESS_USD_PER_GB)
    _, second = _second_bill()
    return {
        "N1": (turbo.prompt.usd_per_million, turbo.output.usd_per_million),
        "N2": tuple(blended),
        "N3": tuple(usd for tokens_m in (10, 100, 500, 1000) for usd in _api_usd(tokens_m)),
        "N4": (100 * egress_usd / tco.exact(_api_usd(1000)[0]),),
        "N5": (None, None),
        "N6": (100, second[0]),
        "N7": (second[0],),
        "N8": (doc.LOWER.usd_per_million, _api_usd(621)[0]),
    }


def _second_bill() -> tuple[tuple[Decimal, ...], tuple[Fraction, ...]]:
    """The document's second bill, low and high, and where it meets the lower API price."""
    totals = tuple(rent + doc.SECOND_STAFF_USD + doc.SECOND_REST_USD for rent in doc.SECOND_RENT_USD)
    return totals, tuple(_break_even_m(total, doc.LOWER) for total in totals)


def _staff() -> tuple[Decimal, Decimal]:
    return (
        tco.staff_usd(doc.SALARY_USD_PER_YEAR, doc.MLOPS_SHARE),
        tco.staff_usd(doc.SALARY_USD_PER_YEAR, doc.DEVOPS_SHARE),
    )


def _power_usd(gpu_w: int, host_w: int, busy: float) -> Decimal:
    """Two GPUs and their host, in a room of average effectiveness, for a month of 730 hours."""
    watts = tco.average_power_w(gpu_idle_w=100, gpu_busy_w=gpu_w, host_w=host_w, busy_fraction=busy, gpus=2)
    return tco.energy_usd(watts, 730, Decimal("0.12"), pue=1.54)


def _cluster(book: PriceBook) -> Mapping[str, Values]:
    """What a cluster costs, by the month and by the million tokens (lines 108-169, 548-592, 677-763)."""
    rent = tco.rental_usd(doc.REPLICA_HOUR_USD, doc.MONTH_HOURS)
    rented = rent + doc.STORAGE_USD + doc.NETWORK_USD
    price = doc.GPUS_USD + doc.CHASSIS_USD + doc.ROOM_USD
    amortised = tco.amortised_usd(price, doc.AMORTISATION_MONTHS)
    bought = amortised + doc.POWER_USD
    staff = _staff()
    daily_m = _capacity_m(0.4) / doc.MONTH_DAYS
    totals, band = _second_bill()
    lower, upper = _api_usd(621)
    weekly_usd = tco.exact(doc.SALARY_USD_PER_YEAR) / 52
    offer = book.gpu_offer("aws/g6e.12xlarge")
    return {
        "N9": (rent,),
        "N10": (rented,),
        "N11": (price, amortised),
        "N12": (_power_usd(300, 400, 1.0), _power_usd(400, 500, 1.0), _power_usd(300, 200, 0.0)),
        "N13": (bought,),
        "N14": (*staff, sum(staff)),
        "N15": (rented + sum(staff), bought + sum(staff)),
        "N16": (None,),
        "N17": (daily_m, _capacity_m(0.4)),
        "N18": (_per_million(doc.CLUSTER_USD, 621), _per_million(doc.CLUSTER_USD, _capacity_m(0.4))),
        "N19": (lower, upper),
        "N20": (lower - doc.CLUSTER_USD, upper - doc.CLUSTER_USD),
        "N21": (1 / tco.exact(0.30),),
        "N22": (_capacity_m(0.15),),
        "N23": (_per_million(doc.CLUSTER_USD, _capacity_m(0.15)),),
        "N24": (*totals, sum(staff)),
        "N25": (*band, doc.LOWER.usd_per_million),
        "N26": (_break_even_m(doc.CLUSTER_USD, doc.LOWER), _break_even_m(doc.CLUSTER_USD, doc.UPPER)),
        "N27": (None,),
        "N28": (tco.rental_usd(offer.instance_hour, 730),),
        "N29": (weekly_usd * 3, weekly_usd * 12),
    }


def _worked_example() -> Mapping[str, Values]:
    """The health system of 340 hospitals (lines 217-265, 601, 793, and the captions)."""
    note_m, days = Fraction(doc.CLINICIANS * doc.NOTES_PER_DAY * doc.NOTE_TOKENS, doc.MILLION), _weekdays()
    notes_m, scans_m = note_m * doc.MONTH_DAYS, Fraction(doc.SCANS_PER_MONTH * doc.SCAN_TOKENS, doc.MILLION)
    appeals_m = Fraction(doc.APPEALS_PER_MONTH * doc.APPEAL_TOKENS, doc.MILLION)
    messages_m = Fraction(doc.MESSAGES_PER_MONTH * doc.MESSAGE_TOKENS, doc.MILLION)
    total_m = notes_m + scans_m + appeals_m + messages_m
    hybrid = [doc.CLUSTER_USD + usd for usd in _api_usd(appeals_m + messages_m)]
    api = _api_usd(total_m)
    saved = [usd - hybrid[1] for usd in api]
    return {
        "N30": (note_m * days,),
        "N31": (_percent_of_capacity(notes_m),),
        "N32": (appeals_m, *_api_usd(appeals_m)),
        "N33": (messages_m, *_api_usd(messages_m)),
        "N34": (scans_m, _percent_of_capacity(notes_m + scans_m)),
        "N35": (*hybrid, total_m),
        "N36": (_per_million(hybrid[0], total_m), _per_million(hybrid[1], total_m)),
        "N37": api,
        "N38": (3 * doc.CLUSTER_USD, doc.CLUSTER_USD, _percent_of_capacity(total_m)),
        "N39": (*saved, *(12 * usd for usd in saved)),
        "N40": (100 * (1 - tco.exact(_per_million(doc.CLUSTER_USD, 621)) / tco.exact(doc.LOWER.usd_per_million)),),
        "N41": (_per_million(doc.CLUSTER_USD, _capacity_m(0.6)),),
        "N42": (
            12 * (_api_usd(621)[1] - doc.CLUSTER_USD),
            12 * tco.amortised_usd(doc.STORY_GPUS_USD, doc.AMORTISATION_MONTHS),
        ),
        "N43": (Fraction(doc.CLINICIANS, doc.HOSPITALS), Fraction(doc.SCANS_PER_MONTH, doc.HOSPITALS)),
    }


def _weekdays() -> int:
    """Working days of April 2026, a month of thirty days with as many as the document's own 22."""
    horizon = Horizon(month="2026-04")
    days = (horizon.start_local + timedelta(days=day) for day in range(round(horizon.duration_s / 86_400)))
    return sum(day.weekday() < 5 for day in days)


def _stories() -> Mapping[str, Values]:
    """Case studies, failures and the last pages (lines 18, 191-201, 530, 610, 882-946, 1026-1093)."""
    monthly = {months: tco.amortised_usd(doc.STORY_GPUS_USD, months) for months in (12, doc.AMORTISATION_MONTHS)}
    summaries_m = Fraction(doc.RURAL_SUMMARIES * doc.SUMMARY_TOKENS, doc.MILLION)
    rural_m = doc.RURAL_M
    early_m = tco.exact(doc.EARLY_API_USD_PER_YEAR) / 12 / tco.exact(doc.LOWER.usd_per_million)
    cluster_m, api_m = doc.HYBRID_M
    mixed = [doc.CLUSTER_USD + usd for usd in _api_usd(api_m)]
    api = _api_usd(cluster_m + api_m)
    hospital_m = [Fraction(tokens, doc.MILLION) for tokens in doc.hospital_tokens(_weekdays())]
    example = _worked_example()["N35"]
    return {
        "N44": (_percent_of_capacity(early_m, doc.STORY_CLUSTERS), 12 * doc.CLUSTER_USD),
        "N45": (summaries_m * 1000, _api_usd(rural_m)[0], monthly[12], monthly[36], _percent_of_capacity(rural_m)),
        "N46": (
            Fraction(100 * doc.USED_M, doc.PLANNED_M),
            doc.USED_M / Fraction(8, 100),
            _percent_of_capacity(doc.USED_M, doc.STORY_CLUSTERS),
        ),
        "N47": (_api_usd(doc.API_ONLY_M)[0],),
        "N48": (_api_usd(doc.PILOT_M)[0], monthly[12], _percent_of_capacity(doc.PILOT_M)),
        "N49": (mixed[0], api[1], api[1] - mixed[1], 12 * (api[1] - mixed[1])),
        "N50": (None,) * 5,
        "N51": (*hospital_m, sum(hospital_m)),
        "N52": (_api_usd(10)[0], _api_usd(100)[1]),
        "N53": example[:2],
        "N54": (_break_even_m(doc.CLUSTER_USD, doc.LOWER),) * 3,
        "N55": (4,),
    }
