"""How a model is asked: what can be changed, what of it is part of the protocol, and conversations."""

from __future__ import annotations

import copy
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubetuna_trial.errors import InputError
from kubetuna_trial.task2.chat import chat_tokens, chat_wanted
from kubetuna_trial.task2.cli import _parser
from kubetuna_trial.task2.contest import task2_signal
from kubetuna_trial.task2.loading import load_tokenizer
from kubetuna_trial.task2.options import prompting_of
from kubetuna_trial.task2.parameters import parse_parameters
from kubetuna_trial.task2.prompts import Prompting, Prompts
from kubetuna_trial.task2.protocol import protocol_of
from tests.trial.task2 import worlds

TALK = "<u>{% for m in messages %}{{ m.content }}{% endfor %}</u><a>"
DAY = 100


def tokenizer(template: str | None = None) -> Any:
    found = copy.deepcopy(load_tokenizer(worlds.tiny()))
    found.chat_template = template
    return found


def options(*words: str) -> Namespace:
    return _parser().parse_args(words)


def test_what_is_asked_is_part_of_the_protocol_and_how_much_is_read_is_not() -> None:
    market, usual = worlds.market(), Prompting()
    fields = protocol_of(market).fields()
    assert "line" not in fields and "chat" not in fields
    assert fields["prompt"] == (
        "News about TICKER:\nNEWS\nLast close: CLOSE\n"
        "Rate how the news will move TICKER, from -10 (falls) to 10 (rises).\nScore:"
    )
    changes = [{"template": "{news}"}, {"line": "{text}"}, {"chat": True}, {"answer": "Number:"}]
    digests = {protocol_of(market, replace(usual, **change)).digest for change in changes}  # type: ignore[arg-type]
    assert len(digests | {protocol_of(market).digest}) == 5
    read = replace(usual, articles=9, news_days=2, characters=50, tokens=64)
    assert protocol_of(market, read).digest == protocol_of(market).digest


def test_how_much_is_read_can_be_tuned() -> None:
    plan = worlds.plan(articles=1, news_days=4, article_characters=30, prompt_tokens=99)
    asking = plan.asking
    assert (asking.articles, asking.news_days, asking.characters, asking.tokens) == (1, 4, 30, 99)
    market = worlds.market()
    usual, few = Prompts(market, 10).of_day(DAY), Prompts(market, 10, asking).of_day(DAY)
    assert max(text.count("\n- ") for text in few) == 1 < max(text.count("\n- ") for text in usual)
    assert max(map(len, few)) < max(map(len, usual))
    with pytest.raises(InputError, match="articles"):
        parse_parameters({"articles": 0})


def test_words_of_a_template_are_filled_once() -> None:
    how = Prompting(template="{ticker}: {news} {braces}")
    assert how.question("A", ["{close} {ticker}"], "1", 5) == "A: {close} {ticker} {braces}\nScore:"


def test_options_make_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "asked.txt").write_text("{ticker}\n{news}\n")
    words = ["--prompt", f"@{tmp_path}/asked.txt", "--article-line", "* {text}", "--chat", "auto"]
    found = prompting_of(options(*words), tokenizer())
    assert (found.template, found.line, found.chat) == ("{ticker}\n{news}", "* {text}", False)
    assert prompting_of(options(), tokenizer()) == Prompting()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--prompt", "about {ticker}"], r"--prompt: .* lacks \{news\}"),
        (["--prompt", "{news} {sentiment}"], r"there is no \{sentiment\}; there is \{ticker\}"),
        (["--prompt", "@/no/such/file"], "--prompt: @/no/such/file cannot be read"),
        (["--article-line", "{age}"], r"--article-line: .* lacks \{text\}"),
        (["--chat", "on"], "--chat: on needs a tokenizer with a chat template"),
    ],
)
def test_a_prompt_that_cannot_be_is_refused(words: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        prompting_of(options(*words), tokenizer())


def test_a_prompt_becomes_a_message_where_the_model_has_a_form_for_it() -> None:
    speaker, how = tokenizer(TALK), Prompting(chat=True)
    assert chat_wanted(speaker, "auto") and chat_wanted(speaker, "on") and not chat_wanted(speaker, "off")
    asked = how.question("A", ["- none"], "1.00", 5)
    assert (
        speaker.decode(chat_tokens(speaker, asked, how))
        == f"<u>{asked.removesuffix(chr(10) + 'Score:')}</u><a>Score:"
    )
    short = replace(how, tokens=20)
    cut = speaker.decode(chat_tokens(speaker, asked, short))
    assert cut.startswith("<u>") and cut.endswith("(rises).</u><a>Score:") and "News" not in cut


def test_a_chat_template_that_fails_is_refused_with_a_way_out() -> None:
    broken = tokenizer("{{ raise_exception('no system message') }}")
    with pytest.raises(InputError, match=r"chat template fails: .*no system message.*; take --chat off"):
        chat_wanted(broken, "auto")
    assert not chat_wanted(broken, "off")


def test_what_is_handed_in_speaks_as_the_trial_did(monkeypatch: pytest.MonkeyPatch) -> None:
    speaker, how = tokenizer(TALK), Prompting(chat=True, tokens=30)
    told = {"prompting": {"answer": how.answer, "tokens": how.tokens, "chat": True}}
    monkeypatch.setattr(task2_signal, "config", lambda: told)
    for prompt in Prompts(worlds.market(), 10, how).of_day(DAY):
        own = chat_tokens(speaker, prompt, how)
        assert task2_signal.tokens(speaker, prompt.removesuffix("\nScore:")) == own and len(own) <= 30
