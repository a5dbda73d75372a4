"""``python -m kubetuna_trial.task1``: train and judge one ensemble, write data, or replay actions."""

from __future__ import annotations

import os
from argparse import SUPPRESS, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.command import Formatter, Parser, add_numbers, check_least, device_named, given_options, guarded
from kubetuna_trial.errors import InputError
from kubetuna_trial.folds import HELP, fold_of
from kubetuna_trial.marks import announce, sketch
from kubetuna_trial.task1 import contest, evaluate, replay
from kubetuna_trial.task1.artifacts import write_artifacts
from kubetuna_trial.task1.data import Dataset, file_dataset, planted_dataset
from kubetuna_trial.task1.parameters import AGENT_NAMES, AGENTS, NUMBERS, parse_parameters
from kubetuna_trial.task1.planted import FACTORS_FILE, PRICES_FILE, SNR, write_contest_files
from kubetuna_trial.task1.splits import HELP as SPLIT_HELP
from kubetuna_trial.task1.training import PROFILES, UPDATES, Plan, Report, Trial
from kubetuna_trial.termination import EXIT_TERMINATED, Termination
from kubetuna_trial.wire import TrialContext, emit, report, say, series, trial_context

DESCRIPTION = """\
Train an ensemble of Q-learning agents to trade bitcoin, and judge it on validation data by a fixed protocol.
Without options it trains on synthetic data with a planted signal, in about ten seconds. As the first word,
`evaluate` scores a saved ensemble, `export` writes it for the contest's starter kit, `replay` shows what the
simulator does with actions (each with --help)."""

EPILOG = """\
Parameters come from the options below or from KUBETUNA_PARAMS (a JSON object); options win. KUBETUNA_SEED,
KUBETUNA_CHECKPOINT_DIR and KUBETUNA_OUT stand for --seed, --checkpoints and --out. Each report is one JSON line on
stdout: step, sharpe_ratio, total_return, romad, max_drawdown; the last also holds linear_return,
buy_and_hold_return, flat_return and random_return on the same seconds. SIGTERM saves a checkpoint and leaves with
exit code 143; started again with the same options, training goes on exactly where it was."""

ADVICE = "lower num_sims, buffer_size_multiplier or batch_size"
VERBS: dict[str, Any] = {"replay": replay, "evaluate": evaluate, "export": contest}
LEAST = {"rows": 10_000, "updates": 1, "reports": 1, "threads": 1, "data_seed": 0, "snr": 0}


def main(arguments: Sequence[str]) -> int:
    """Run; returns the exit code: 0 done, 1 failed, 2 bad input, 143 stopped."""
    return guarded(lambda: _verb(arguments), ADVICE)


def _verb(arguments: Sequence[str]) -> int:
    for name, verb in VERBS.items():
        if arguments[:1] == [name]:
            parser = Parser(prog=f"python -m kubetuna_trial.task1 {name}", description=verb.DESCRIPTION)
            verb.add_options(parser)
            return int(verb.run(parser.parse_args(arguments[1:])))
    return _train_or_write(_parser().parse_args(arguments))


def _parser() -> Parser:
    parser = Parser(prog="python -m kubetuna_trial.task1", description=DESCRIPTION, epilog=EPILOG,
                     formatter_class=Formatter, argument_default=None)  # fmt: skip
    data = parser.add_argument_group("data")
    data.add_argument("--data", type=Path, metavar="DIR", help=f"folder with {PRICES_FILE} and {FACTORS_FILE}")
    data.add_argument("--prices", type=Path, metavar="FILE", help="the contest's price CSV (column midpoint)")
    data.add_argument("--factors", type=Path, metavar="FILE", help="the contest's factors, .npy, (rows, factors)")
    data.add_argument("--align", choices=("front", "rear"), default="front", help="pair the first or the last rows")
    data.add_argument("--rows", type=int, default=60_000, help="synthetic data: seconds")
    data.add_argument("--data-seed", type=int, default=7, help="synthetic data: its seed")
    data.add_argument("--snr", type=float, default=SNR, help="synthetic data: strength of the signal; 0: none")
    data.add_argument("--split", metavar="BORDERS", help=SPLIT_HELP)
    data.add_argument("--fold", metavar="I/K", help=HELP)
    data.add_argument("--make-data", type=Path, metavar="DIR", help="write synthetic data as contest files")
    training = parser.add_argument_group("training")
    training.add_argument("--updates", type=int, default=UPDATES, help="how often each agent learns")
    training.add_argument("--budget", help=SUPPRESS)
    training.add_argument("--reports", type=int, default=10, help="reports at equal shares of the updates")
    training.add_argument("--profile", choices=sorted(PROFILES), default="quick", help="sizes of episodes, memory")
    training.add_argument("--seed", type=int, help="of everything random in training")
    training.add_argument("--device", default="auto", help="auto, cpu, cuda")
    training.add_argument(
        "--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS") or 1), help="CPU threads"
    )
    training.add_argument("--checkpoints", type=Path, metavar="DIR", help="save there, and go on from there")
    training.add_argument("--out", type=Path, metavar="DIR", help="write ensemble, metrics and returns there")
    training.add_argument("--reference-compat", action="store_true", help="the contest starter kit's semantics")
    _add_parameters(parser)
    return parser


def _add_parameters(parser: Parser) -> None:
    tuned = parser.add_argument_group("parameters (the guide's search range)")
    add_numbers(tuned, NUMBERS)
    for name in AGENT_NAMES:
        tuned.add_argument(
            f"--{name.replace('_', '-')}", dest=name, metavar="KIND", help=f"one of {', '.join(AGENTS)}"
        )


def _train_or_write(options: Namespace) -> int:
    context = trial_context()
    seed = context.seed if options.seed is None else options.seed
    check_least(options, LEAST)
    if options.budget is not None:
        raise InputError("--budget: samples are no longer counted; say how often each agent learns: --updates N")
    if options.make_data:
        for path in write_contest_files(options.make_data, options.rows, seed, options.snr):
            say(f"wrote {path}")
        return 0
    return _train(options, context, seed)


def _train(options: Namespace, context: TrialContext, seed: int) -> int:
    termination = Termination().install()
    data = _dataset(options)
    trial = Trial(
        _plan(options, context, seed),
        data,
        lambda key: Checkpoints(options.checkpoints or context.checkpoints, key),
    )
    emit({"protocol": trial.protocol.digest, "data": data.source, "device": str(trial.tape.prices.device)})
    announce({"": sketch(data.marks)})
    if trial.reported:
        say(f"going on after report {trial.reported} of {options.reports}")
    out: Path | None = options.out or context.out

    def tell(found: Report) -> None:
        metrics = found.metrics()
        last = found.step == options.reports
        if last:
            metrics |= trial.baselines()
            series("returns", found.judgement.returns.tolist())
        report(found.step, options.reports, metrics)
        if last and out:
            write_artifacts(out, trial, data, metrics, found.judgement.returns)

    return 0 if trial.run(tell, lambda: termination.asked) else EXIT_TERMINATED


def _plan(options: Namespace, context: TrialContext, seed: int) -> Plan:
    given = given_options(options, (*NUMBERS, *AGENT_NAMES))
    device = device_named(options.device)
    torch.set_num_threads(options.threads)
    if device == "cpu":
        torch.use_deterministic_algorithms(True)
    params = parse_parameters({**context.params, **given})
    return Plan(params, seed, options.updates, options.reports, options.profile, device, options.reference_compat)


def _dataset(options: Namespace) -> Dataset:
    fold = fold_of(options.fold)
    prices = options.prices or (options.data and options.data / PRICES_FILE)
    factors = options.factors or (options.data and options.data / FACTORS_FILE)
    if bool(prices) != bool(factors):
        raise InputError("--prices and --factors belong together: give both, or --data DIR, or neither")
    if prices:
        return file_dataset(prices, factors, options.align, fold, options.split)
    return planted_dataset(options.rows, options.data_seed, options.snr, fold, options.split)
