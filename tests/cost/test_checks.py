import datetime

import pytest

from simulator.cost.checks import price_faults, price_warnings
from simulator.cost.prices import load_price_book
from simulator.decision.retirement import shut_down
from simulator.scenario.patterns import ApiPattern, HybridPattern

NOW = datetime.date(2026, 11, 23)
API = {"model": "azure/gpt-4.1", "ttft": {"median": "500ms"}, "output_tokens_per_s": {"median": 80}}


@pytest.fixture(scope="module")
def book():
    return load_price_book("2026-11")


def hybrid(model="azure/gpt-4.1", offer="azure/nd96amsr-a100-v4", gpu="a100-80gb", terms=None, **api):
    return HybridPattern.model_validate(
        {
            "kind": "hybrid",
            "cluster": {"model": "llama-3.3-70b", "gpu": gpu, "tensor_parallel": 2},
            "costs": {"compute": {"kind": "rental", "offer": offer, **(terms or {})}},
            "api": {**API, "model": model, **api},
        }
    )


def test_known_and_fresh_prices_pass_silently(book):
    assert price_faults(hybrid(), book) == []
    assert price_warnings(hybrid(), book, NOW) == []


def test_every_unknown_name_is_reported(book):
    faults = price_faults(hybrid(model="azure/gpt-9", offer="aws/p9"), book)
    assert [key for key, _ in faults] == ["costs.compute.offer", "api.model"]
    assert price_warnings(hybrid(model="azure/gpt-9", offer="aws/p9"), book, NOW) == []


def test_contract_prices_need_no_entry_but_do_not_revive_a_model(book):
    contract = {"prices": {"prompt": "1 USD/1M tokens", "output": "2 USD/1M tokens"}}
    assert price_faults(hybrid(model="ours/own", **contract), book) == []
    assert price_warnings(hybrid(model="ours/own", **contract), book, NOW) == []
    gone = shut_down(hybrid(model="azure/gpt-4-turbo", **contract), book, NOW, NOW)
    assert gone == "azure/gpt-4-turbo was shut down on 2026-10-23"


def test_a_price_from_memory_is_doubtful(book):
    key = "azure/nd96amsr-a100-v4"
    recalled = book.gpu_offer(key).model_copy(update={"basis": "memory"})
    book = book.model_copy(update={"gpu_offers": {**book.gpu_offers, key: recalled}})
    assert ("costs.compute.offer", "the price is recalled from memory, without a document") in price_warnings(
        hybrid(), book, NOW
    )


@pytest.mark.parametrize(
    ("change", "key", "message"),
    [
        ({"model": "azure/llama-3.3-70b-data-zone"}, "api.model", "dates from 2026-08-11"),
        (
            {"offer": "runpod/a100-80gb-spot", "terms": {"spot": {"discount": 0.5}}},
            "costs.compute.offer",
            "already a spot one, and is discounted again",
        ),
        ({"gpu": "l40s"}, "costs.compute.offer", "for a100-80gb, the cluster runs on l40s"),
    ],
)
def test_doubtful_prices_are_named(book, change, key, message):
    [(found, text)] = price_warnings(hybrid(**change), book, NOW)
    assert found == key
    assert message in text


def test_an_api_alone_has_no_offer(book):
    pattern = ApiPattern.model_validate({"kind": "metered_api", "api": {**API, "model": "nope"}})
    assert [key for key, _ in price_faults(pattern, book)] == ["api.model"]
