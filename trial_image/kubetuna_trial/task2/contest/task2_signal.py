"""The scores of the model beside this file, for each ticker and day of the contest's files.

    python task2_signal.py --stocks task2_stocks_test.csv --news task2_news_test.csv --out scores.csv

It needs torch, transformers and peft (and bitsandbytes for a model that was trained in 4 bits).
``generate_eval_signal`` is what the starter kit's task2_eval.py calls.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
WEIGHTS = "trained_models"
# What the contest's files call the columns that are read.
STOCK_COLUMNS, NEWS_COLUMNS = (
    ("Date", "Ticker", "Close"),
    ("Date", "Stock_symbol", "Article_title", "Textrank_summary"),
)
REPEATED, ROUNDING = 10, 1e-9


@cache
def config() -> dict[str, Any]:
    """How the model was trained to be asked."""
    found: dict[str, Any] = json.loads((HERE / "config.json").read_text(encoding="utf-8"))
    return found


def load(base: str | None = None, device: str | None = None) -> tuple[Any, Any]:
    """The tokenizer and the model with its adapter; ``base`` is another place of the base model."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    told = config()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    where = {"revision": told["revision"]} if told["revision"] else {}
    packed: dict[str, Any] = {}
    if told["quantization"]:
        packed["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type=told["quantization"], bnb_4bit_compute_dtype=dtype
        )
    own = HERE / "base_model"
    name = base or (str(own) if own.is_dir() else told["model"])
    model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, device_map={"": device}, **packed, **where)
    return AutoTokenizer.from_pretrained(HERE / WEIGHTS), PeftModel.from_pretrained(
        model, str(HERE / WEIGHTS)
    ).eval()


def filled(template: str, values: dict[str, str]) -> str:
    """A template with its names replaced."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)


def prompt(ticker: str, lines: Sequence[str], close: str) -> str:
    """What the model is asked about a ticker."""
    told = config()
    values = {"ticker": ticker, "news": "\n".join(lines or [told["no_news"]]), "close": close}
    return filled(told["prompting"]["template"], {**values, "strength": str(told["signal_strength"])})


def line(text: str, age: str) -> str:
    """An article as a line of the prompt, cut after whole words."""
    told = config()["prompting"]
    if len(text) > told["characters"]:
        text = text[: told["characters"]].rsplit(" ", 1)[0] + " ..."
    return filled(told["line"], {"age": age, "text": text})


def tokens(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a prompt; of one that is too long, the beginning is cut off."""
    told = config()["prompting"]
    answer, most = told["answer"], told["tokens"]
    if not told["chat"]:
        return list(tokenizer(f"{text}\n{answer}")["input_ids"])[-most:]
    while True:
        message = [{"role": "user", "content": text}]
        begun = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False) + answer
        found = list(tokenizer(begun, add_special_tokens=False)["input_ids"])
        if len(found) <= most or not text:
            return found[-most:]
        text = text[max(1, len(text) * (len(found) - most) // len(found)) :]


def spellings(tokenizer: Any) -> list[list[int]]:
    """The tokens of each allowed score; one that begins another is closed by the end of a line."""
    strength = config()["signal_strength"]
    plain = [tokenizer.encode(f" {score}", add_special_tokens=False) for score in range(-strength, strength + 1)]
    end = tokenizer.encode("\n", add_special_tokens=False)[-1]
    begins = [any(len(o) > len(s) and o[: len(s)] == s for o in plain) for s in plain]
    return [[*s, end] if open_ended else s for s, open_ended in zip(plain, begins, strict=True)]


@torch.no_grad()
def score(tokenizer: Any, model: Any, text: str) -> int:
    """The most probable of the allowed scores; no other answer has any probability."""
    asked, spelled = tokens(tokenizer, text), spellings(tokenizer)

    @cache
    def following(begun: tuple[int, ...]) -> dict[int, float]:
        children = sorted(
            {s[len(begun)] for s in spelled if len(s) > len(begun) and tuple(s[: len(begun)]) == begun}
        )
        if len(children) == 1:
            return {children[0]: 0.0}
        row = torch.tensor([[*asked, *begun]], device=model.device)
        logits = model(input_ids=row, attention_mask=torch.ones_like(row)).logits[0, -1, children]
        return dict(zip(children, torch.log_softmax(logits.float(), dim=-1).tolist(), strict=True))

    chances = [sum(following(tuple(s[:n]))[s[n]] for n in range(len(s))) for s in spelled]
    return max(range(len(chances)), key=chances.__getitem__) - int(config()["signal_strength"])


def generate_eval_signal(
    tokenizer: Any, model: Any, device: Any, news: str, prices: Any, signal_strength: float, threshold: float
) -> float:
    """The starter kit's function. Its news have no dates: a ``line`` without an age was trained for it."""
    articles = [part.strip() for part in news.split(" -- ") if part.strip()]
    newest = articles[-config()["prompting"]["articles"] :][::-1]
    text = prompt(prices["Ticker"].item(), [line(a, "recently") for a in newest], f"{prices['Close'].item():.2f}")
    return score(tokenizer, model, text) * float(signal_strength) / float(config()["signal_strength"])


def rows(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[list[str]]:
    """The named columns of CSV files."""
    csv.field_size_limit(1 << 30)
    for path in paths:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            names = [name.strip().casefold() for name in next(lines)]
            places = [names.index(column.casefold()) for column in columns]
            yield from ([found[place] for place in places] for found in lines if found)


def articles_of(paths: Sequence[Path]) -> dict[str, list[tuple[str, str]]]:
    """Date and text of each ticker's articles by date; one that says the same within ten days is left out."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    told: dict[tuple[str, str, str], int] = {}
    for on, ticker, *words in sorted(rows(paths, NEWS_COLUMNS), key=lambda row: row[0].strip()[:10]):
        title, summary = (" ".join(word.split()) for word in words)
        key, day = (ticker.strip().upper(), title, summary), date.fromisoformat(on.strip()[:10])
        if (title or summary) and day.toordinal() - told.get(key, -REPEATED) >= REPEATED:
            told[key] = day.toordinal()
            text = f"{title.rstrip('.')}. {summary}".strip() if title else summary
            found[key[0]].append((day.isoformat(), text))
    return found


def lines_of(articles: Sequence[tuple[str, str]], today: date) -> list[str]:
    """The newest articles from strictly before a day, newest first."""
    told, dates = config()["prompting"], [on for on, _ in articles]
    first = bisect_left(dates, (today - timedelta(days=told["news_days"])).isoformat())
    last = bisect_left(dates, today.isoformat())
    known = articles[max(first, last - told["articles"]) : last][::-1]
    ages = [(today - date.fromisoformat(on)).days for on, _ in known]
    return [
        line(text, "1 day ago" if age == 1 else f"{age} days ago")
        for (_, text), age in zip(known, ages, strict=True)
    ]


def positions(scores: Sequence[int]) -> list[float]:
    """Shares of a place, 1 long to -1 short: the three highest and lowest; equals share what is left for them."""
    told, strength = config(), config()["signal_strength"]
    held = [0.0] * len(scores)
    for side in (1, -1):
        own = [side * one / strength for one in scores]
        for place, value in enumerate(own):
            better = sum(other > value + ROUNDING for other in own)
            equal = sum(abs(other - value) <= ROUNDING for other in own)
            if value >= told["protocol"]["threshold"] - ROUNDING:
                held[place] += side * min(1.0, max(0.0, (told["protocol"]["positions"] - better) / equal))
    return held


def main() -> None:
    """Write date, ticker, score and position for each day that has a day before."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stocks", type=Path, nargs="+", required=True)
    parser.add_argument("--news", type=Path, nargs="+", required=True)
    parser.add_argument("--first", default="", metavar="DATE")
    parser.add_argument("--last", default="9999", metavar="DATE")
    parser.add_argument("--model", help="another place of the base model")
    parser.add_argument("--out", type=Path, default=Path("scores.csv"))
    options = parser.parse_args()
    closes = {
        (on.strip()[:10], t.strip().upper()): float(close) for on, t, close in rows(options.stocks, STOCK_COLUMNS)
    }
    tickers, dates = list(dict.fromkeys(t for _, t in closes)), sorted({on for on, _ in closes})
    news, (tokenizer, model) = articles_of(options.news), load(options.model)
    with options.out.open("w", encoding="utf-8") as out:
        out.write("Date,Ticker,Score,Position\n")
        for before, on in pairwise(dates):
            if options.first <= on <= options.last:
                asked = [(t, lines_of(news[t], date.fromisoformat(on))) for t in tickers]
                found = [
                    score(tokenizer, model, prompt(t, lines, f"{closes[before, t]:.2f}")) for t, lines in asked
                ]
                for ticker, one, held in zip(tickers, found, positions(found), strict=True):
                    out.write(f"{on},{ticker},{one},{held:g}\n")


if __name__ == "__main__":
    main()
