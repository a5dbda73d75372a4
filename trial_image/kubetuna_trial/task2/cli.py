"""``python -m kubetuna_trial.task2``: train and judge one model, write data, score prompts, or judge an adapter."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.command import Formatter, Parser, add_numbers, check_least, given_options, guarded
from kubetuna_trial.folds import HELP, fold_of
from kubetuna_trial.marks import announce
from kubetuna_trial.task2 import contest, evaluate, score
from kubetuna_trial.task2.artifacts import write_artifacts
from kubetuna_trial.task2.learning import Method
from kubetuna_trial.task2.loading import backend_of, load, load_tokenizer, source_of
from kubetuna_trial.task2.options import add_data, add_model, add_prompt, market_of, prepared_device, prompting_of
from kubetuna_trial.task2.parameters import CHOICES, NUMBERS, QUANTIZATIONS, READING, parse_parameters
from kubetuna_trial.task2.planted import write_contest_files
from kubetuna_trial.task2.training import Plan, Report, Trial, planned
from kubetuna_trial.termination import EXIT_TERMINATED, Termination
from kubetuna_trial.wire import TrialContext, emit, report, say, series, trial_context

DESCRIPTION = """\
Fine-tune a language model by LoRA to trade on the news, paid by the market, and judge it on validation dates by a
fixed protocol. Without options it trains a tiny model on planted news. `score` as the first word gives the scores
of prompts, `evaluate` judges a saved adapter, `export` writes it for the contest (each with --help)."""

EPILOG = """\
Parameters come from the options below or from KUBETUNA_PARAMS (a JSON object); options win. KUBETUNA_SEED,
KUBETUNA_CHECKPOINT_DIR and KUBETUNA_OUT stand for --seed, --checkpoints and --out; HF_TOKEN is the token of a model
that needs a login. Each report is one JSON line on stdout: step, cumulative_return, mean_reward, sharpe_ratio,
max_drawdown, hit_rate; the last also holds untuned_hit_rate, untuned_return, random_hit_rate, random_return,
bag_of_words_return, buy_and_hold_return and flat_return on the same dates. SIGTERM saves a checkpoint and leaves
with exit code 143; started again with the same options, training goes on exactly where it was."""

ADVICE = "use_4bit: true, a lower lora_r, fewer --days-per-step, or a smaller model take less"
LEAST = {"reports": 1, "threads": 1, "data_seed": 0, "per_pass": 1, "days_per_step": 1, "samples": 2, "kl": 0}
METHOD = Method()
VERBS: dict[str, Any] = {"score": score, "evaluate": evaluate, "export": contest}


def main(arguments: Sequence[str]) -> int:
    """Run; returns the exit code: 0 done, 1 failed, 2 bad input, 143 stopped."""
    return guarded(lambda: _verb(arguments), ADVICE)


def _verb(arguments: Sequence[str]) -> int:
    for name, verb in VERBS.items():
        if arguments[:1] == [name]:
            return _asked(name, verb, arguments[1:])
    return _train_or_write(_parser().parse_args(arguments))


def _asked(name: str, verb: Any, arguments: Sequence[str]) -> int:
    parser = Parser(prog=f"python -m kubetuna_trial.task2 {name}", description=verb.DESCRIPTION,
                    formatter_class=Formatter)  # fmt: skip
    verb.add_options(parser)
    return int(verb.run(parser.parse_args(arguments)))


def _parser() -> Parser:
    parser = Parser(prog="python -m kubetuna_trial.task2", description=DESCRIPTION, epilog=EPILOG,
                    formatter_class=Formatter)  # fmt: skip
    add_data(parser)
    parser.add_argument(
        "--make-data", type=Path, metavar="DIR", help="write planted data as contest files, and end"
    )
    parser.add_argument("--fold", metavar="I/K", help=HELP)
    add_model(parser)
    training = parser.add_argument_group("training")
    training.add_argument(
        "--seed", type=int, help="of everything random in training; with --make-data, of the data"
    )
    training.add_argument("--reports", type=int, default=10, help="reports at equal shares of max_train_steps")
    training.add_argument("--days-per-step", type=int, default=METHOD.days, help="days that a step learns from")
    training.add_argument("--samples", type=int, default=METHOD.samples, help="scores drawn for each prompt")
    training.add_argument("--kl", type=float, default=METHOD.kl, help="price of diverging from the base model")
    training.add_argument("--checkpoints", type=Path, metavar="DIR", help="save there, and go on from there")
    training.add_argument("--out", type=Path, metavar="DIR", help="write adapter, metrics and returns there")
    training.add_argument("--reference-compat", action="store_true", help="the starter kit's plain REINFORCE")
    add_prompt(parser)
    tuned = parser.add_argument_group("parameters (the guide's search range)")
    add_numbers(tuned, {**NUMBERS, **READING})
    tuned.add_argument("--use-4bit", metavar="TRUTH", help="hold the base model in 4 bits (true, false)")
    tuned.add_argument(
        "--quantization-type", metavar="KIND", help=f"one of {', '.join(QUANTIZATIONS)}; with use_4bit"
    )
    return parser


def _train_or_write(options: Namespace) -> int:
    context = trial_context()
    seed = context.seed if options.seed is None else options.seed
    check_least(options, LEAST)
    if options.make_data:
        for path in write_contest_files(options.make_data, seed, options.shuffle_news):
            say(f"wrote {path}")
        return 0
    return _train(options, context, seed)


def _train(options: Namespace, context: TrialContext, seed: int) -> int:
    termination = Termination().install()
    trial = _trial(options, context, seed)
    first = {"data": trial.market.source, "model": trial.plan.source.identity, "weights": trial.backend}
    emit({"protocol": trial.protocol.digest, "device": trial.plan.device, **first})
    announce(trial.market.sketches())
    if trial.reported:
        say(f"going on after report {trial.reported} of {options.reports}")
    out: Path | None = options.out or context.out

    def tell(found: Report) -> None:
        metrics = found.metrics()
        last = found.step == options.reports
        if last:
            series("returns", found.judgement.returns.tolist())
        report(found.step, options.reports, metrics)
        if last and out:
            write_artifacts(out, trial, metrics, found.judgement.returns)

    return 0 if trial.run(tell, lambda: termination.asked) else EXIT_TERMINATED


def _trial(options: Namespace, context: TrialContext, seed: int) -> Trial:
    params = parse_parameters({**context.params, **given_options(options, (*NUMBERS, *READING, *CHOICES))})
    fold = fold_of(options.fold)
    device = prepared_device(options)
    market = market_of(options, fold=fold)
    source = source_of(options.model, options.revision, options.download)
    method = Method(options.days_per_step, options.samples, options.kl, options.reference_compat)
    tokenizer = load_tokenizer(source)
    asked = prompting_of(options, tokenizer)
    plan = Plan(params, seed, source, device, options.reports, options.per_pass, method, asked)
    held = backend_of(params.quantization, device, options.quantization)
    room = planned(plan, market, tokenizer, held)
    loaded = load(source, params.quantization, device, held)
    folder = options.checkpoints or context.checkpoints
    return Trial(plan, loaded, market, lambda key: Checkpoints(folder, key), room)
