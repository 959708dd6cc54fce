"""What is known of GPUs, against what their makers print."""

import pytest

from simulator.scenario.gpus import GPUS

#: Watts of the whole board, as data sheets have them, by board.
WATTS = {
    70: ["t4"], 72: ["l4"], 150: ["a10"], 170: ["rtx-3060"], 180: ["rtx-5060-ti"], 220: ["rtx-3070"],
    230: ["rtx-a5000"], 275: ["l20"],
    300: ["a100-80gb-pcie", "rtx-6000-ada", "l40", "a10g", "a40", "v100-32gb", "rtx-a6000", "rtx-5070-ti"],
    320: ["rtx-4080"], 350: ["l40s", "h100-pcie", "rtx-3090"], 360: ["rtx-5080"],
    400: ["a100-80gb", "a100-40gb", "h100-nvl", "h20"], 450: ["rtx-4090"], 575: ["rtx-5090"],
    600: ["rtx-pro-6000"], 700: ["h100-80gb", "h200"], 750: ["mi300x"], 1000: ["b200"], 1400: ["b300"],
}  # fmt: skip
#: Gigabytes that a board is sold with, where its name does not say; a GiB is 1.0737 of them.
SOLD_GB = {
    "l40s": 48, "h200": 141, "h100-pcie": 80, "h100-nvl": 94, "l4": 24, "t4": 16, "rtx-3070": 8, "rtx-3090": 24,
    "rtx-4090": 24, "rtx-5090": 32, "rtx-pro-6000": 96, "rtx-5080": 16, "rtx-6000-ada": 48, "l40": 48, "a10g": 24,
    "h20": 96, "b300": 288, "mi300x": 192, "a10": 24, "a40": 48, "l20": 48, "rtx-a6000": 48, "rtx-a5000": 24,
    "rtx-3060": 12, "rtx-4080": 16, "rtx-5060-ti": 16, "rtx-5070-ti": 16, "b200": 192,
    "a100-80gb": 80, "a100-80gb-pcie": 80, "a100-40gb": 40, "h100-80gb": 80, "v100-32gb": 32,
}  # fmt: skip


@pytest.mark.parametrize(("watts", "board"), [(watts, board) for watts, boards in WATTS.items() for board in boards])
def test_a_board_draws_what_its_data_sheet_says(watts, board):
    assert GPUS[board].tdp_w == watts


def test_every_board_is_held_against_its_data_sheet():
    assert {board for boards in WATTS.values() for board in boards} == GPUS.keys() == SOLD_GB.keys()


@pytest.mark.parametrize("board", SOLD_GB)
def test_a_board_has_nearly_the_memory_that_it_is_sold_with(board):
    """Error correction takes a sixteenth of GDDR memory; what is sold as a gigabyte is mostly a GiB."""
    assert 0.91 * SOLD_GB[board] <= GPUS[board].memory_gib <= SOLD_GB[board]
