"""Token prices of a price book, taken again from litellm's offline table (MIT licence).

    pip install --no-deps litellm==VERSION
    python tools/price_book.py 2026-11                        # write what the table says
    python tools/price_book.py 2026-11 --check                # only say what differs; exit 1 if anything does
    python tools/price_book.py 2026-11 --captured-on DATE     # after installing another version: its date

Which rows become entries is said by `SELLERS`: text models that a row of the table cites a source for, that have not
retired on the book's date and that no other row names. An entry that names a `litellm_row` gets that row's prices, context
limit, successor and retirement date; a date that the entry has from elsewhere is kept. An entry whose row has retired on
the book's date is dropped, unless a scenario of the source document needs it (`HISTORICAL`). Everything else in the book is
kept by hand, with its own source. Nothing is imported and nothing asks the network: the table is read from the installed
package.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from calendar import month_name
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

BOOKS: Final = Path(__file__).parents[1] / "simulator" / "cost" / "data"
TABLE: Final = "litellm/model_prices_and_context_window_backup.json"
_TOKENS: Final = {
    "prompt": "input_cost_per_token",
    "cached_prompt": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "output": "output_cost_per_token",
}
_KINDS: Final = {"": "", "batch_": "_batches", "priority_": "_priority", "flex_": "_flex"}
#: Field and column of each price; `{}` is where a column names the length of long prompts.
COLUMNS: Final = {
    **{f"{kind}{name}": f"{column}{{}}{end}" for kind, end in _KINDS.items() for name, column in _TOKENS.items()},
    "cache_write_hour": "cache_creation_input_token_cost_above_1hr{}",
}
#: Gone on the book's date and kept to be read: the source document's own model, and its seller's.
HISTORICAL: Final = (
    "azure/gpt-4-turbo",
    "azure/gpt-4-turbo-regional",
    "azure/gpt-4-turbo-government",
    "openai/gpt-4-turbo",
    "together/llama-3.3-70b",
)
#: No text model for general use, a preview, a name that moves or stands for another, or one of before 2025.
_NO_CHOICE: Final = re.compile(
    r"preview|codex|code|chat|audio|realtime|transcri|search|research|latest|cyber|tts|image|computer|robotics|omni|vision"
    r"|custom|guard|vl-|-vl|pixtral|voxtral|law|rosalind|mythos|daybreak|fast|spot|-exp|experimental|speciale|embed|tiny|vibe"
    r"|gpt-[\w.]*-pro$|-20\d\d-\d\d-\d\d$|large-4-0|medium(?:-3|-3\.5|-2604)?$|ministral-3-.*2512|mistral-large-3$"
    r"|qwen-?2|together.*llama-3\.[12]|mistral-7b|rnj-1|trinity|deepseek-r1|meta\.llama3-(?:8|70)b|kimi-k2-instruct",
    re.IGNORECASE,
)
#: Prompt and answer of models whose row has what the answer leaves for the prompt (272,000 of 400,000, and so on).
_WHOLES: Final = (400_000, 1_000_000, 1_050_000)
_DAY: Final = re.compile(r"-20\d\d-?\d\d-?\d\d$")
_LENGTHS: Final = ("context_tokens", "longest_prompt_tokens")
_ZONES: Final = {"": ("global", None, ""), "us": ("data_zone", "us", "-us"), "eu": ("data_zone", "eu", "-eu")}
_DIRECT: Final = {"": ("direct", None, "")}


@dataclass(frozen=True, slots=True)
class Seller:
    """Rows of one seller.

    Attributes:
        name: First part of its keys in the book.
        rows: What a row's name is like; groups `zone` and `model`.
        zones: Deployment, region and end of the key, by zone.
    """

    name: str
    rows: re.Pattern[str]
    zones: dict[str, tuple[str, str | None, str]]


_CLAUDE: Final = r"claude-(?:haiku|sonnet|opus)-(?:4-[5-9]|[5-9])(?:-\d)?"
_GPT: Final = r"gpt-(?:4o|4\.1|[5-9])[\w.-]*"
_AZURE: Final = {
    "": ("global", None, ""),
    "us": ("data_zone", "us", "-data-zone"),
    "eu": ("data_zone", "eu", "-eu-data-zone"),
}
SELLERS: Final = tuple(
    Seller(name, re.compile(rows), zones)
    for name, rows, zones in (
        ("azure", rf"azure/(?:(?P<zone>us|eu)/)?(?P<model>{_GPT})", _AZURE),
        (
            "azure",
            rf"azure_ai/(?P<zone>)(?P<model>{_CLAUDE}|(?i:llama-[34]|phi-4$|mistral-|deepseek-|gpt-oss|kimi)[\w.-]*)",
            _AZURE,
        ),
        ("openai", rf"(?P<zone>)(?P<model>{_GPT})", _DIRECT),
        ("anthropic", rf"(?P<zone>)(?P<model>{_CLAUDE})", _DIRECT),
        ("bedrock", rf"(?:global|(?P<zone>us|eu))\.anthropic\.(?P<model>{_CLAUDE})(?:-\d{{8}}-v1:0|-v1)?", _ZONES),
        ("bedrock", rf"(?:global|(?P<zone>us|eu))\.openai\.(?P<model>{_GPT})", _ZONES),
        ("bedrock", r"(?P<zone>us|eu)\.amazon\.(?P<model>nova-[\w-]+)-v1:0", _ZONES),
        (
            "bedrock",
            r"(?P<zone>)(?:amazon|meta|mistral|openai|deepseek|qwen|google|moonshotai|zai)"
            r"\.(?P<model>(?:nova|llama[34]|mistral-large-3|ministral|magistral|gpt-oss|v3|r1|qwen3|gemma|kimi|glm)[\w.-]*)"
            r"(?:-v?\d:0)?",
            {"": ("regional", None, "")},
        ),
        ("gemini", r"gemini/(?P<zone>)(?P<model>gemini-[2-9][\w.-]*)", _DIRECT),
        ("vertex", rf"vertex_ai/(?P<zone>)(?P<model>gemini-[3-9][\w.-]*|{_CLAUDE})", _ZONES),
        (
            "vertex",
            r"vertex_ai/(?:meta|openai|deepseek-ai|qwen)/(?P<zone>)(?P<model>[\w.-]+)-maas",
            {"": ("regional", None, "")},
        ),
        ("mistral", r"mistral/(?P<zone>)(?P<model>(?:mistral|ministral|magistral)-[\w.-]+)", _DIRECT),
        ("deepseek", r"deepseek/(?P<zone>)(?P<model>deepseek-[\w.-]+)", _DIRECT),
        ("groq", r"groq/(?:[\w-]+/)?(?P<zone>)(?P<model>[\w.-]+)", _DIRECT),
        ("together", r"together_ai/[\w-]+/(?P<zone>)(?P<model>[\w.-]+)", _DIRECT),
        ("fireworks", r"fireworks_ai/accounts/fireworks/(?:models|routers)/(?P<zone>)(?P<model>[\w.-]+)", _DIRECT),
    )
)

#: Speech to text by the hour and embeddings: rows, by seller and key, where a key is not its row's own name.
SERVICES: Final = {
    **{f"azure/{model}": f"azure/{model}" for model in ("gpt-transcribe", "gpt-live-transcribe", "whisper")},
    **{
        f"azure/{model}{end}": f"azure/{zone}{model}"
        for model in ("text-embedding-3-large", "text-embedding-3-small")
        for zone, end in (("", ""), ("us/", "-data-zone"), ("eu/", "-eu-data-zone"))
    },
    "azure/speech": "azure/speech/azure-stt",
    "azure/embed-v4": "azure_ai/embed-v-4-0",
    "aws/transcribe": "transcribe/StartTranscriptionJob",
    "bedrock/cohere-embed-english-v3": "cohere.embed-english-v3",
    "bedrock/cohere-embed-multilingual-v3": "cohere.embed-multilingual-v3",
    "bedrock/cohere-embed-v4": "cohere.embed-v4:0",
    "cohere/embed-v4": "cohere/embed-v4.0",
    **{
        f"deepgram/{model}": f"deepgram/{model}"
        for model in ("nova-2", "nova-3", "nova-3-medical", "streaming/nova-3", "streaming/nova-3-medical")
    },
    "elevenlabs/scribe_v2": "elevenlabs/scribe_v2",
    "fireworks/qwen3-embedding-8b": "fireworks_ai/accounts/fireworks/models/qwen3-embedding-8b",
    "gemini/gemini-embedding-001": "gemini/gemini-embedding-001",
    "mistral/mistral-embed-2312": "mistral/mistral-embed-2312",
    "mistral/voxtral-mini-2602": "mistral/voxtral-mini-2602",
    "mistral/voxtral-mini-transcribe-3": "mistral/voxtral-mini-transcribe-3",
    "mistral/voxtral-small-transcribe-3": "mistral/voxtral-small-transcribe-3",
    **{
        f"openai/{model}": model
        for model in (*("text-embedding-3-large", "text-embedding-3-small"), *("whisper-1", "gpt-transcribe"))
    },
    "openai/gpt-live-transcribe": "gpt-live-transcribe",
    "vertex/chirp_3": "vertex_ai/chirp_3",
    "vertex/gemini-embedding-001": "gemini-embedding-001",
    **{f"voyage/{model}": f"voyage/{model}" for model in ("voyage-4-large", "voyage-4", "voyage-4-lite")},
}


def table() -> tuple[str, dict[str, Any]]:
    """Version and rows of the installed table, numbers as they are written."""
    package = distribution("litellm")
    text = Path(str(package.locate_file(TABLE))).read_text(encoding="utf-8")
    return package.version, json.loads(text, parse_float=Decimal)


def price_text(usd_per_token: Decimal | int) -> str:
    """`2.50 USD/1M tokens`: whole dollars without, others with at least two decimals."""
    amount = (Decimal(usd_per_token) * 1_000_000).normalize()
    whole = amount == amount.to_integral_value()
    places = 0 if whole else max(2, -int(amount.as_tuple().exponent))
    return f"{amount:.{places}f} USD/1M tokens"


def short_name(model: str) -> str:
    """A model's name in keys: Claude's and Llama's versions with a dot, no tuning suffix, no capitals.

    >>> short_name("claude-opus-4-5"), short_name("llama3-3-70b-instruct"), short_name("Llama-3.3-70B-Instruct")
    ('claude-opus-4.5', 'llama-3.3-70b', 'llama-3.3-70b')
    """
    name = re.sub(r"-(?:instruct|it|maas)(?=-|$)", "", model.lower())
    name = re.sub(r"^(v3[\d.]*|r1)$", r"deepseek-\1", name)
    name = re.sub(r"^llama(\d)", r"llama-\1", name)
    name = re.sub(r"(?<=\d)p(?=\d)", ".", name)
    return re.sub(r"^((?:claude-\w+|llama)-\d)-(\d)(?=-|$)", r"\1.\2", name)


def choices(rows: dict[str, Any], on: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Key in the book, row and what is known of each entry that a table offers on a day."""
    for name in sorted(rows):
        row = rows[name]
        if not _offers_text(row, on) or _NO_CHOICE.search(name):
            continue
        for seller in SELLERS:
            found = seller.rows.fullmatch(name)
            if found and (seller.name != "openai" or row["litellm_provider"] == "openai"):
                deployment, region, end = seller.zones[found["zone"] or ""]
                model = found["model"]
                known = {"model": model, "deployment": deployment} | ({"region": region} if region else {})
                yield f"{seller.name}/{short_name(model)}{end}", name, known
                break


def _offers_text(row: dict[str, Any], on: str) -> bool:
    """Whether a row is a text model with a price and a source that has not retired by a day."""
    return (
        row.get("mode") in ("chat", "responses")
        and bool(row.get("source") or row["litellm_provider"] == "groq")
        and bool(row.get("input_cost_per_token"))
        and bool(row.get("output_cost_per_token"))
        and row.get("deprecation_date", "9999") > on
        and (row["litellm_provider"] != "fireworks_ai" or "cache_read_input_token_cost" in row)
    )


def update(book: dict[str, Any], rows: dict[str, Any], version: str, captured_on: str) -> None:
    """Write a table's entries into a book.

    Raises:
        KeyError: An entry names a row that the table does not have.
    """
    before = said(book["generated_from"])
    book["generated_from"] |= {"version": version, "captured_on": captured_on}
    after = said(book["generated_from"])
    entries: dict[str, Any] = book["api_prices"]
    taken = {entry["litellm_row"] for entry in entries.values() if "litellm_row" in entry}
    for key, name, known in choices(rows, book["date"]):
        if key not in entries and name not in taken:
            source = after + _citing(rows[name].get("source", ""))
            entries[key] = {**known, "litellm_row": name, "basis": "list", "source": source}
    for key, entry in entries.items():
        if "litellm_row" in entry:
            entries[key] = refreshed(entry, rows[entry["litellm_row"]], (before, after), captured_on)
    gone = {key for key, entry in entries.items() if entry.get("retires_on", "9999") <= book["date"]}
    kept = {key: entries[key] for key in sorted(entries) if key not in gone - set(HISTORICAL)}
    for key, entry in kept.items():
        entry.update(lengths_of(key, entry, kept, rows))
    keys = {entry["litellm_row"]: key for key, entry in kept.items() if "litellm_row" in entry}
    for key, entry in kept.items():
        if "litellm_row" in entry and (successor := rows[entry["litellm_row"]].get("successor_model")):
            name = re.sub(r"^.*/|^\w+\.(?=claude)", "", successor)
            named = f"{key.partition('/')[0]}/{short_name(name)}"
            entry["successor"] = keys.get(successor, named if named in kept else name)
    book["api_prices"] = kept
    book["services"] = {
        key: service(rows[name], name, after, captured_on)
        for key, name in sorted(SERVICES.items())
        if rows[name].get("deprecation_date", "9999") > book["date"]
    }


def lengths_of(key: str, entry: dict[str, Any], entries: dict[str, Any], rows: dict[str, Any]) -> dict[str, int]:
    """How long a request an entry's model takes, by its row; by another row of the seller's where that does not say.

    The table has one figure for the prompt. It is the whole context, prompt and answer, but where a maker limits the
    prompt apart: Google does, and for OpenAI's models from GPT-5 on the table has what the answer leaves of `_WHOLES`.
    Nothing is said where prompts beyond the limit have a price.
    """
    seller = key.partition("/")[0]
    model = _DAY.sub("", entry["model"])
    like = [
        one for name, one in entries.items() if name.startswith(f"{seller}/") and _DAY.sub("", one["model"]) == model
    ]
    found = (rows.get(one.get("litellm_row", ""), {}) for one in (entry, *like))
    row = next((row for row in found if row.get("max_input_tokens")), {})
    prompt, answer = row.get("max_input_tokens"), row.get("max_output_tokens", 0)
    if not prompt or prompt <= entry.get("long_prompts", {"above_tokens": 0})["above_tokens"]:
        return {}
    if prompt + answer in _WHOLES or seller == "gemini" or entry["model"].startswith("gemini"):
        return {"context_tokens": prompt + answer, "longest_prompt_tokens": prompt}
    return {"context_tokens": prompt}


def service(row: dict[str, Any], name: str, says: str, captured_on: str) -> dict[str, Any]:
    """Entry of a service: its price by the hour of audio to a hundredth of a cent, or by the token of text.

    Hours are of prices by the second, which the table has rounded.
    """
    second = row.get("input_cost_per_second")
    hour = f"{Decimal(str(second)) * 3600:.4f}".rstrip("0").rstrip(".") if second else ""
    price = {"audio_hour": f"{hour} USD/h"} if hour else {"tokens": price_text(row["input_cost_per_token"])}
    entry = {
        "model": name.rpartition("/")[2],
        **price,
        "litellm_row": name,
        "basis": "list",
        "captured_on": captured_on,
    }
    entry |= {"source": says + _citing(row["source"])}
    if "deprecation_date" in row:
        entry |= {"retires_on": row["deprecation_date"]}
        entry |= {"retirement_source": says + _citing(row.get("deprecation_source", ""))}
    return entry


def _citing(address: str) -> str:
    """What a row cites, without the query; nothing where it cites nothing."""
    return f", citing {address.partition('?')[0].removeprefix('https://')}" if address else ""


def refreshed(entry: dict[str, Any], row: dict[str, Any], says: tuple[str, str], captured_on: str) -> dict[str, Any]:
    """An entry with what its row says now, but for its successor, which may be named by a key of the book."""
    before, after = says
    prices = prices_of(row)
    dropped = (*COLUMNS, "long_prompts", "successor", *_LENGTHS)
    rest = {name: value for name, value in entry.items() if name not in dropped}
    if "deprecation_date" in row and "litellm" in rest.get("retirement_source", "litellm"):
        source = after + _citing(row.get("deprecation_source", ""))
        kept = rest.get("retirement_source", "")
        by_hand = kept and not kept.startswith("litellm")
        rest |= {"retires_on": row["deprecation_date"], "retirement_source": kept if by_hand else source}
    rest |= {"captured_on": captured_on}
    for name in ("source", "retirement_source"):
        if name in rest:
            rest[name] = rest[name].replace(before, after)
    first = {name: rest[name] for name in ("model", "deployment", "region", "litellm_row") if name in rest}
    last = ("basis", "captured_on", "source", "retires_on", "retirement_source", "note")
    return first | prices | {name: rest[name] for name in last if name in rest}


def prices_of(row: dict[str, Any]) -> dict[str, Any]:
    """Every price of a row that an entry has a field for, those of long prompts apart.

    A price of 0 is none, and so is one of writing to the cache that lies below the prompt price: the table has the price
    of reading in the wrong column there.
    """

    def these(above: str) -> dict[str, str]:
        found = {name: row.get(column.format(above)) for name, column in COLUMNS.items()}
        for kind in _KINDS:
            if (found[f"{kind}cache_write"] or 0) < (found[f"{kind}prompt"] or 0):
                found[f"{kind}cache_write"] = None
        return {name: price_text(usd) for name, usd in found.items() if usd}

    lengths = sorted(
        int(found[1]) * 1000
        for column in row
        if (found := re.fullmatch(r"input_cost_per_token_above_(\d+)k_tokens", column))
    )
    if not lengths:
        return these("")
    return these("") | {"long_prompts": {"above_tokens": lengths[0], **these(f"_above_{lengths[0] // 1000}k_tokens")}}


def said(origin: dict[str, str]) -> str:
    """How sources name the table."""
    year, month, day = map(int, origin["captured_on"].split("-"))
    return f"litellm {origin['version']} price table ({day} {month_name[month]} {year})"


def text_of(book: dict[str, Any]) -> str:
    """A book as it is kept: an entry a line."""
    sections = []
    order = ("services", "references")
    for name, content in sorted(
        book.items(), key=lambda section: order.index(section[0]) if section[0] in order else -1
    ):
        if name in ("id", "date", "generated_from"):
            sections.append(f"  {json.dumps(name)}: {json.dumps(content, ensure_ascii=False)}")
            continue
        lines = (f"    {json.dumps(key)}: {json.dumps(entry, ensure_ascii=False)}" for key, entry in content.items())
        sections.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(sections) + "\n}\n"


def main() -> int:
    """Update or check a book."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("book", help="id of a shipped book, such as 2026-11")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if the book differs")
    parser.add_argument("--captured-on", help="day on which this version of the table was published, as 2026-10-21")
    asked = parser.parse_args()
    path = BOOKS / f"prices-{asked.book}.json"
    text = path.read_text(encoding="utf-8")
    book = json.loads(text)
    version, rows = table()
    origin = book["generated_from"]
    if version != origin["version"] and not asked.captured_on:
        print(f"the book is of litellm {origin['version']}, installed is {version}: say --captured-on", file=sys.stderr)
        return 2
    update(book, rows, version, asked.captured_on or origin["captured_on"])
    made = text_of(book)
    if made == text:
        print(f"{path.name} is what litellm {version} says")
        return 0
    if asked.check:
        print(f"{path.name} differs from litellm {version}; run without --check and compare")
        return 1
    path.write_text(made, encoding="utf-8")
    print(f"wrote {path.name} from litellm {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
