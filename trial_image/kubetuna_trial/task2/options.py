"""Options that training, ``score`` and ``evaluate`` share: which market, which model, on what."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from kubetuna_trial.command import Parser, device_named
from kubetuna_trial.errors import InputError
from kubetuna_trial.folds import Fold
from kubetuna_trial.task2.chat import CHOICES as CHATS
from kubetuna_trial.task2.chat import chat_wanted
from kubetuna_trial.task2.data import Market, file_market, folder_market, folder_market_with_test, planted_market
from kubetuna_trial.task2.planted import NEWS_COLUMNS, STOCK_COLUMNS
from kubetuna_trial.task2.prompts import Prompting


def add_data(parser: Parser) -> None:
    """Options that say which market."""
    data = parser.add_argument_group("data")
    data.add_argument("--data", type=Path, metavar="DIR", help="folder laid out as the contest's")
    data.add_argument("--stocks", type=Path, metavar="FILE", help=f"CSV: {', '.join(STOCK_COLUMNS)}")
    data.add_argument("--news", type=Path, metavar="FILE", help=f"CSV: {', '.join(NEWS_COLUMNS)}")
    data.add_argument("--tickers", metavar="A,B", help="use only these")
    data.add_argument("--data-seed", type=int, default=7, help="planted data: its seed")
    data.add_argument("--shuffle-news", action="store_true", help="planted data: without a signal")


def add_model(parser: Parser) -> None:
    """Options that say which model, where and how."""
    model = parser.add_argument_group("model")
    model.add_argument("--model", metavar="NAME", help="hub id or folder of a causal model (default: the tiny one)")
    model.add_argument("--revision", metavar="REV", help="branch, tag or commit of a hub id")
    model.add_argument("--download", action="store_true", help="allow downloading the model")
    model.add_argument("--quantization", choices=("auto", "bitsandbytes", "emulated"), default="auto",
                       help="how 4 bits are done; bitsandbytes: refuse to emulate")  # fmt: skip
    model.add_argument("--device", default="auto", help="auto, cpu, cuda")
    model.add_argument(
        "--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS") or 1), help="CPU threads"
    )
    model.add_argument("--per-pass", type=int, default=64, help="prompts that go through the model at once")


def add_prompt(parser: Parser) -> None:
    """Options that say how the model is asked; how much it reads are parameters."""
    asked = parser.add_argument_group("prompt")
    asked.add_argument(
        "--prompt", metavar="TEXT", help="with {ticker}, {news}, {close}, {strength}; @FILE reads it"
    )
    asked.add_argument("--article-line", metavar="TEXT", help='of an article: "- {age}: {text}"')
    asked.add_argument("--chat", choices=CHATS, default="auto", help="as a message in the model's own form")


def prompting_of(options: Namespace, tokenizer: Any) -> Prompting:
    """How the model is asked. Raises InputError."""
    given = {
        "template": _template("--prompt", options.prompt, ("ticker", "news", "close", "strength"), "news"),
        "line": _template("--article-line", options.article_line, ("age", "text"), "text"),
    }
    known: dict[str, Any] = {name: text for name, text in given.items() if text is not None}
    return Prompting(**known, chat=chat_wanted(tokenizer, options.chat))


def _template(option: str, text: str | None, names: Sequence[str], needed: str) -> str | None:
    if text is not None and text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{option}: {text} cannot be read: {error}") from None
    for name in re.findall(r"\{(\w+)\}", text or ""):
        if name not in names:
            known = ", ".join("{" + one + "}" for one in names)
            raise InputError(f"{option}: there is no {{{name}}}; there is {known}")
    if text is not None and "{" + needed + "}" not in text:
        raise InputError(f"{option}: {text[:60]!r} lacks {{{needed}}}: the model would not see it")
    return text


def market_of(options: Namespace, test: bool = False, fold: Fold | None = None) -> Market:
    """The market that the options name, to be judged on validation days (a fold's) or on test days.

    Raises:
        InputError: there is no such market.
    """
    tickers = [word.strip().upper() for word in options.tickers.split(",")] if options.tickers else None
    if bool(options.stocks) != bool(options.news):
        raise InputError("--stocks and --news belong together: give both, or --data DIR, or neither")
    if options.stocks and test:
        raise InputError("--split test: the test files are found in a folder; give it with --data DIR")
    if options.stocks:
        return file_market(options.stocks, options.news, tickers, fold)
    if options.data and test:
        return folder_market_with_test(options.data, tickers)
    if options.data:
        return folder_market(options.data, tickers, fold)
    return planted_market(options.data_seed, options.shuffle_news, test=test, fold=fold)


def prepared_device(options: Namespace) -> str:
    """The device, with threads and determinism set as the options say."""
    device = device_named(options.device)
    torch.set_num_threads(options.threads)
    if device == "cpu":
        torch.use_deterministic_algorithms(True)
    return device
