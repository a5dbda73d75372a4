"""Asking a model as it was saved: what ``score`` and ``evaluate`` share.

How an adapter was trained (the scale of its scores, the form of its base model) is read from the note beside it,
so that it is asked as it was taught; an option wins.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetuna_trial.command import Parser, given_options
from kubetuna_trial.errors import InputError
from kubetuna_trial.folds import Fold, fold_of
from kubetuna_trial.task2.artifacts import NOTE, read_note
from kubetuna_trial.task2.loading import Source, load, source_of
from kubetuna_trial.task2.options import add_model, prepared_device
from kubetuna_trial.task2.parameters import CHOICES, QUANTIZATIONS, Parameters, parse_parameters
from kubetuna_trial.task2.policy import Policy, Tuned, saved_policy
from kubetuna_trial.task2.prompts import Prompting

ASKED = ("signal_strength", *CHOICES)


def add_saved(parser: Parser) -> None:
    """Options that say which model, with which adapter, and how it is asked."""
    add_model(parser)
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="a trial's adapter")
    parser.add_argument("--signal-strength", metavar="N", help="scores go up to this (else: as trained)")
    parser.add_argument("--use-4bit", metavar="TRUTH", help="hold the base in 4 bits (else: as trained)")
    parser.add_argument("--quantization-type", metavar="KIND", help=" or ".join(QUANTIZATIONS))
    parser.add_argument("--json", action="store_true", help="print JSON")


def saved_model(options: Namespace) -> tuple[Policy | Tuned, Mapping[str, str]]:
    """The policy that the options name, and what to call it: model, adapter, weights. Raises InputError."""
    device, note = prepared_device(options), read_note(options.adapter) if options.adapter else {}
    params = saved_parameters(options, note)
    source = saved_source(options, note)
    loaded = load(source, params.quantization, device, options.quantization)
    policy = saved_policy(
        loaded, options.adapter, params.signal_strength, device, options.per_pass, saved_prompting(note)
    )
    return policy, {"model": source.identity, "adapter": str(options.adapter or ""), "weights": loaded.backend}


def saved_fold(options: Namespace) -> Fold | None:
    """The fold that the adapter was trained in; None where it was in none. Raises InputError."""
    protocol = read_note(options.adapter).get("protocol") if options.adapter else None
    fold = protocol.get("fold") if isinstance(protocol, dict) else None
    return None if fold is None else fold_of(str(fold))


def saved_prompting(note: Mapping[str, Any]) -> Prompting:
    """How the adapter was trained to be asked. Raises InputError where the note holds something else."""
    found = note.get("prompting", {})
    try:
        return Prompting(**found)
    except TypeError:
        raise InputError(
            f"{NOTE}: prompting: {json.dumps(found)[:80]} is of another version; train again"
        ) from None


def saved_parameters(options: Namespace, note: Mapping[str, Any]) -> Parameters:
    """How the adapter was trained; an option wins. Raises InputError."""
    trained = note.get("parameters", {})
    given: dict[str, Any] = {}
    if isinstance(trained, dict) and trained:
        kind = trained.get("quantization")
        given = {"signal_strength": trained.get("signal_strength", 10), "use_4bit": kind is not None}
        given |= {"quantization_type": kind} if kind else {}
    return parse_parameters(given | given_options(options, ASKED))


def saved_source(options: Namespace, note: Mapping[str, Any]) -> Source:
    """The named model, else the one that the adapter was trained on."""
    if options.model or not options.adapter:
        return source_of(options.model, options.revision, options.download)
    try:
        config = json.loads((options.adapter / "adapter_config.json").read_text())
        name = str(config["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{options.adapter}: its adapter_config.json names no base model ({error})") from None
    tiny = source_of(None, None, False) if str(note.get("model", "")).startswith("tiny-") else None
    if tiny and tiny.identity == note["model"]:
        return tiny
    return source_of(name, config.get("revision"), options.download)
