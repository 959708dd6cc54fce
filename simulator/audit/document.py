"""What "The Model Hosting Decision" takes for granted: the premises of its arithmetic, each with its lines.

Nothing here is a result. The claims recomputed from these premises are in `claims.json`, the arithmetic in
`recompute`.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

from simulator.units import TokenPrice

MILLION: Final = 1_000_000

# Time: the document's month has thirty days (108, 144, 223), or 22 working days (530).
MONTH_HOURS: Final = Decimal(720)
MONTH_DAYS: Final = 30

# The cluster of two A100s: what it makes (139) and what it is said to cost all in (147 and everywhere after).
TOKENS_PER_S: Final = 1500
CLUSTER_USD: Final = Decimal(5900)
REPLICA_HOUR_USD: Final = Decimal("2.38")  # 108
STORAGE_USD, NETWORK_USD = Decimal(50), Decimal(20)  # 113
GPUS_USD, CHASSIS_USD, ROOM_USD = Decimal(20_000), Decimal(8_000), Decimal(4_000)  # 117-121
AMORTISATION_MONTHS: Final = 36
POWER_USD: Final = Decimal(150)  # 122
SALARY_USD_PER_YEAR: Final = Decimal(135_000)  # 131
MLOPS_SHARE, DEVOPS_SHARE = 0.25, 0.10

# The API: blended prices it writes per thousand tokens (590), though it calls them prices per million (579).
LOWER: Final = TokenPrice.per_thousand("0.015")
UPPER: Final = TokenPrice.per_thousand("0.020")

# The second bill, from which the band of break-evens comes (583-592).
SECOND_RENT_USD: Final = (Decimal(1800), Decimal(6000))
SECOND_STAFF_USD, SECOND_REST_USD = Decimal(2800), Decimal(200)

# The health system's tokens a month (217-251).
CLINICIANS, NOTES_PER_DAY, NOTE_TOKENS = 1200, 15, 800
HOSPITALS, SCANS_PER_MONTH, SCAN_TOKENS = 340, 45_000, 1200
APPEALS_PER_MONTH, APPEAL_TOKENS = 8500, 3000
MESSAGES_PER_MONTH, MESSAGE_TOKENS = 1200, 400

# The stories: what was paid for GPUs (18, 191, 908, 1077) and what was used.
STORY_GPUS_USD: Final = Decimal(187_000)
STORY_CLUSTERS: Final = 4  # eight A100s in pairs (908)
EARLY_API_USD_PER_YEAR: Final = Decimal(340_000)  # 18
PLANNED_M, USED_M = 800, 47  # 908-920
RURAL_SUMMARIES, SUMMARY_TOKENS, RURAL_M = 350, 500, Fraction(18, 100)  # 191: rounded by the document itself
PILOT_M: Final = 12  # 1077
API_ONLY_M: Final = 85  # 1070
HYBRID_M: Final = (432, 30)  # 1087: on the cluster, on the API

# Not the document's, and needed to judge it.
BYTES_PER_TOKEN: Final = 4  # assumed, English text
EGRESS_USD_PER_GB: Final = Decimal("0.087")  # recalled from memory, not checked


def hospital_tokens(working_days: int) -> tuple[int, int, int]:
    """Tokens a month of the 200-bed hospital's notes, appeals and messages (530-534)."""
    return 120 * 15 * 600 * working_days, 2000 * 2500, 5000 * 300
