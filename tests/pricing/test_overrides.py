"""Price files: what they do, and what is said about those that cannot be used."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tachograph.call import Call
from tachograph.pricing import PriceBook, PriceFileError, Table, overridden

M = 1_000_000
FILE = """
[[price]]
provider = "openai"
model = "gpt-5"
from = 2026-07-01
rates = { input = "1.00", cache_read = 0.1, output = 8 }
above = [{ input_tokens = 500000, input = "2.00" }]

[[price]]
provider = "openai"
model = "gpt-5"
context = { service_tier = "flex" }
from = 2026-07-01
rates = { input = "0.40", output = "3.00" }

[[price]]
provider = "alibaba"
model = "qwen3.8-max"
match = ["qwen3.8-max*", "qwen-max-latest"]
source = "list"
rates = { input = "1.20", output = "6.00" }

[[price]]
provider = "alibaba"
model = "qwen3.8-max"
hours = "22:00-02:00"
source = "list"
rates = { input = "0.60", output = "3.00" }

[[capacity]]
provider = "vllm"
model = "llama-3.3-70b"
match = "meta-llama/*3.3-70b*"
gpu_count = 4
usd_per_gpu_hour = "2.50"
tokens_per_hour = 3600000
utilisation = "0.60"

[[alias]]
provider = "azure.ai.openai"
name = "Chat-Prod"
model = "gpt-5-2025-08-07"

[[alias]]
name = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
model = "us.anthropic.claude-sonnet-5"

[[multiplier]]
name = "data_zone"
provider = "azure.ai.openai"
requested = "eu-*"
factor = "1.1"
"""


@pytest.fixture(scope="module")
def own(table: Table) -> PriceBook:
    return PriceBook(overridden(table, tomllib.loads(FILE)))


def call(provider: str, model: str, day: str = "2026-11-20T12:00:00+00:00", **fields: Any) -> Call:
    fields.setdefault("input_uncached", 100_000)
    return Call(provider=provider, request_model=model, started_at=datetime.fromisoformat(day), **fields)


# (what is shown, the call, cost, source, price_id)
CASES: list[tuple[str, Call, str, str, str]] = [
    ("the contract wins", call("openai", "gpt-5-2025-08-07"), "0.1", "contract", "openai/gpt-5@2026-07-01+contract"),
    ("the list before it", call("openai", "gpt-5", "2026-06-30T23:00:00+00:00"), "0.125", "list", "openai/gpt-5@start"),
    (
        "its threshold",
        call("openai", "gpt-5", input_uncached=M),
        "2",
        "contract",
        "openai/gpt-5@2026-07-01+contract",
    ),
    (
        "its tier",
        call("openai", "gpt-5", service_tier="flex"),
        "0.04",
        "contract",
        "openai/gpt-5@2026-07-01+service_tier=flex+contract",
    ),
    (
        "a tier it does not name is multiplied",
        call("openai", "gpt-5", service_tier="priority"),
        "0.2",
        "contract",
        "openai/gpt-5@2026-07-01+contract*priority",
    ),
    (
        "a contract with one is none with another",
        call("azure.ai.openai", "gpt-5"),
        "0.125",
        "list",
        "openai/gpt-5@start",
    ),
    ("a model of one's own list", call("alibaba", "qwen3.8-max-0901"), "0.12", "list", "alibaba/qwen3.8-max@start"),
    (
        "hours over midnight",
        call("alibaba", "qwen-max-latest", "2026-11-20T01:59:00+00:00"),
        "0.06",
        "list",
        "alibaba/qwen3.8-max@start+22:00-02:00",
    ),
    (
        "capacity: 4 x 2.50 / (3.6 M x 0.6) = 4.6296296296 a million",
        call("vllm", "meta-llama/Llama-3.3-70B-Instruct", input_uncached=50_000, output_visible=50_000),
        "0.462962963",
        "amortised",
        "vllm/llama-3.3-70b@start+amortised",
    ),
    ("an alias", call("azure.ai.openai", "chat-prod"), "0.125", "list", "openai/gpt-5@start"),
    (
        "an alias of an ARN",
        call("aws.bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"),
        "0.22",
        "list",
        "aws.bedrock/regional.anthropic.claude-sonnet-5-v1:0@start",
    ),
    (
        "a multiplier by deployment",
        call("azure.ai.openai", "eu-chat", response_model="gpt-5"),
        "0.1375",
        "list",
        "openai/gpt-5@start*data_zone",
    ),
]


@pytest.mark.parametrize(("shown", "asked", "cost", "source", "price_id"), CASES, ids=[case[0] for case in CASES])
def test_overrides(own: PriceBook, shown: str, asked: Call, cost: str, source: str, price_id: str) -> None:
    charge = own.charge(asked)
    assert (charge.cost_usd, charge.cost_source, charge.price_id) == (Decimal(cost), source, price_id)
    assert own.row(price_id) is not None


def test_provisioned_capacity_that_has_a_contract_price_is_charged(own: PriceBook) -> None:
    charge = own.charge(call("openai", "gpt-5", service_tier="scale"))
    assert (charge.cost_usd, charge.price_status) == (Decimal("0.1"), "priced")


def price(**changes: Any) -> dict[str, Any]:
    return {"price": [{"provider": "openai", "model": "gpt-5", "rates": {"input": "1"}, **changes}]}


def capacity(**changes: Any) -> dict[str, Any]:
    whole = {"provider": "vllm", "model": "m", "gpu_count": 1, "usd_per_gpu_hour": 1, "tokens_per_hour": 1000}
    return {"capacity": [{**whole, **changes}]}


ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"prices": []}, "the price file: unknown key `prices`: did you mean `price`?"),
    ({"price": {"provider": "openai"}}, "price: not a list of tables: write [[price]]"),
    (price(rate={}), "price 1: unknown key `rate`: did you mean `rates`?"),
    (price(rates={"inptu": 1}), "price 1: rates: unknown key `inptu`: did you mean `input`?"),
    (price(rates={}), 'price 1: rates is empty: state at least one, e.g. input = "1.00"'),
    (price(rates={"input": -1}), "price 1: rates: input -1 is negative: prices and factors are 0 or more"),
    (
        price(rates={"input": "2 EUR"}),
        "price 1: rates: input '2 EUR' is not a number: write e.g. \"1.25\", in US dollars",
    ),
    (price(rates={"input": True}), 'price 1: rates: input True is not a number: write e.g. "1.25"'),
    (price(rates={"input": float("nan")}), "price 1: rates: input nan is not a number"),
    (price(rates={"input": 2_000_000}), "price 1: rates: input 2000000 is above 1000000: rates are in usd_per_million"),
    (price(unit="usd_per_thousand_tokens"), "price 1: unit 'usd_per_thousand_tokens' is not known: state rates in"),
    (price(source="guess"), "price 1: source 'guess' is not known: use 'contract' or 'list'"),
    (price(**{"from": "January"}), "price 1: from January is not a date: write it as 2026-01-31"),
    (price(**{"from": datetime(2026, 1, 1, tzinfo=UTC)}), "price 1: from 2026-01-01 00:00:00+00:00 is not a date"),
    (price(hours="25:00-26:00"), "price 1: hours '25:00-26:00' are not hours of the day"),
    (price(context={"service_tier": 1}), "price 1: context is not a table of words"),
    (price(above=[{"input": 2}]), "price 1: above: input_tokens None is not a count"),
    (price(above=[{"input_tokens": 5, "output": 2}]), "price 1: above: `output` has no rate in rates: add it there"),
    (price(provider=" openai"), "price 1: provider ' openai' is not a name"),
    ({"price": [{"provider": "openai", "rates": {"input": 1}}]}, "price 1: `model` is missing: add it"),
    ({"price": price()["price"] * 2}, "price 2: the same price as price 1 (openai/gpt-5@start+contract): remove one"),
    (capacity(utilisation=60), 'capacity 1: utilisation 60 is above 1: write it as a share, e.g. "0.60"'),
    (capacity(tokens_per_hour=0), "capacity 1: tokens_per_hour 0 is out of range: it must be above 0"),
    (capacity(usd_per_gpu_hour="x"), "capacity 1: usd_per_gpu_hour 'x' is not a number"),
    ({"alias": [{"name": "x"}]}, "alias 1: `model` is missing: add it"),
    ({"multiplier": [{"name": "A b", "factor": 1}]}, "multiplier 1: name 'A b' has other signs than a-z 0-9 _ ."),
    ({"multiplier": [{"name": "a", "factor": -1}]}, "multiplier 1: factor -1 is negative"),
    ({"multiplier": [{"name": "a", "factor": 1, "rates": ["inputs"]}]}, "unknown key `inputs`: did you mean `input`?"),
]


@pytest.mark.parametrize(("content", "said"), ERRORS, ids=[said[:60] for _, said in ERRORS])
def test_errors_name_the_key_and_the_remedy(table: Table, content: dict[str, Any], said: str) -> None:
    with pytest.raises(PriceFileError) as raised:
        overridden(table, content)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
