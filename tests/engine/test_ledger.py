from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from simulator.engine.ledger import Ledger
from simulator.engine.record import RequestLog
from tests.engine.demand import table


def test_rows_keep_their_number_and_followers_hear_of_each_once():
    ledger, heard = Ledger(table([0.0, 1.0], [10, 20]), room=10), []
    ledger.follow(heard.append)
    ledger.add(table([2.0], [30]))
    ledger.add(table([]))
    assert heard == [slice(0, 2), slice(2, 3), slice(3, 3)]
    assert ledger.known == 3
    requests, log = ledger.unsettled(3)
    assert requests.prompt_tokens.tolist() == [10, 20, 30]
    for column in fields(RequestLog):
        np.testing.assert_array_equal(getattr(log, column.name), getattr(RequestLog.empty(3), column.name))
    ledger.log.ended_s[:] = 5.0
    ledger.log.ended_s[1] = 7.0
    assert [ledger.first_pending(now_s) for now_s in (4.0, 5.0, 7.0)] == [0, 1, 3]
    ledger.settle(1)
    assert ledger.first_pending(5.0) == 1
    assert ledger.unsettled(3)[0].prompt_tokens.tolist() == [20, 30]


def test_a_whole_table_is_not_copied():
    requests = table([0.0, 1.0])
    ledger = Ledger(requests)
    assert ledger.table is requests
    assert len(ledger.column(np.int16)) == 2


def test_more_than_there_is_room_for_is_refused():
    with pytest.raises(RuntimeError, match="room for 2 requests, and 3 have come"):
        Ledger(table([0.0, 1.0, 2.0]), room=2)


@pytest.mark.needs("/proc")
def test_settled_rows_give_their_memory_back_and_rows_to_come_take_none():
    def resident_kib():
        return int(
            next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line).split()[1]
        )

    part = table(np.arange(300_000.0))
    ledger = Ledger(part, room=30_000_000)
    more = ledger.column(np.float64)
    before = resident_kib()
    for number in range(1, 20):
        ledger.add(part)
        more[(rows := slice(number * len(part), (number + 1) * len(part)))] = 1.0
        assert ledger.log.outcome[rows].max() == 0
        ledger.settle(rows.stop - 5)
        assert ledger.table.arrival_s[rows][-5:].tolist() == part.arrival_s[-5:].tolist()
    # 19 parts are 600 MB.
    assert resident_kib() - before < 100_000
