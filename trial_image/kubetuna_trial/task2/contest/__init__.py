"""``export``: a model as the contest takes it, with a program that gives its scores without this package.

``trained_models/`` is the adapter with its tokenizer, ``task2_signal.py`` the prompt, the decoding and the starter
kit's own function, ``config.json`` what they need to know. The tiny model, which is on no hub, lies beside them.
"""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kubetuna_trial.command import Parser
from kubetuna_trial.files import write_whole
from kubetuna_trial.task2.artifacts import NOTE, read_note
from kubetuna_trial.task2.loading import Source, load_tokenizer
from kubetuna_trial.task2.options import add_model
from kubetuna_trial.task2.prompts import NO_NEWS
from kubetuna_trial.task2.saved import saved_parameters, saved_prompting, saved_source

DESCRIPTION = """\
Write a saved adapter as the contest takes it: trained_models/ (adapter and tokenizer), config.json, and
task2_signal.py, which gives the scores of the contest's files and needs torch, transformers and peft only."""
WEIGHTS, BASE, SCRIPT = "trained_models", "base_model", "task2_signal.py"
REQUIREMENTS = "torch\ntransformers>=5\npeft>=0.21\n"
README = f"""\
# A model for task 2

`{WEIGHTS}/` is a LoRA adapter with its tokenizer, `config.json` says on which base model and how it is asked.
`{SCRIPT}` holds the prompt and the decoding: `generate_eval_signal` for the starter kit, and a program that scores
the contest's files, day by day:

    python {SCRIPT} --stocks task2_stocks_test.csv --news task2_news_test.csv --out scores.csv

Decoding is constrained: of all whole numbers of the scale the most probable one is the score.
The kit gives its function the news without their dates, and the day's own close.
"""


def add_options(parser: Parser) -> None:
    """The options of ``export``."""
    add_model(parser)
    parser.add_argument("--adapter", type=Path, metavar="DIR", required=True, help="a trial's adapter")
    parser.add_argument("--signal-strength", metavar="N", help="scores go up to this (else: as trained)")
    parser.add_argument("--use-4bit", metavar="TRUTH", help="hold the base in 4 bits (else: as trained)")
    parser.add_argument("--quantization-type", metavar="KIND", help="nf4 or fp4")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="write there")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: Namespace) -> int:
    """Write, and say what."""
    note, source = read_note(options.adapter), saved_source(options, read_note(options.adapter))
    told = {
        "model": source.identity if source.made else source.name,
        "revision": source.revision,
        "quantization": saved_parameters(options, note).quantization,
        "signal_strength": saved_parameters(options, note).signal_strength,
        "prompting": asdict(saved_prompting(note)),
        "no_news": NO_NEWS,
        "protocol": note.get("protocol") or {"threshold": 0.3, "positions": 3},
    }
    written = [str(path) for path in write(options.adapter, source, told, options.out)]
    print(json.dumps({"files": written}) if options.json else "\n".join(written))
    return 0


def write(adapter: Path, source: Source, told: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Write the files."""
    weights, tokenizer = folder / WEIGHTS, load_tokenizer(source)
    shutil.copytree(adapter, weights, dirs_exist_ok=True, ignore=shutil.ignore_patterns(NOTE))
    tokenizer.save_pretrained(weights)
    yield weights
    if source.made:
        shutil.copytree(source.name, folder / BASE, dirs_exist_ok=True)
        yield folder / BASE
    texts = {
        SCRIPT: Path(__file__).with_name(SCRIPT).read_text("utf-8"),
        "config.json": json.dumps(told, indent=2) + "\n",
        "requirements.txt": REQUIREMENTS + ("bitsandbytes>=0.50\n" if told["quantization"] else ""),
        "README.md": README,
    }
    for name, text in texts.items():
        write_whole(folder / name, text)
        yield folder / name
