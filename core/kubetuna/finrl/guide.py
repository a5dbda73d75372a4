"""The programs of the contest's HPO guide under the guide's own words: which verb of kubetuna each of them is.

``python -m kubetuna.finrl.guide DIR`` writes them into a folder, in which the guide's commands and imports work as
printed; ``python -m kubetuna.finrl.task1_hpo`` and its siblings need no such folder.
"""

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from kubetuna.files import write_whole
from kubetuna.finrl.tuning import EXPERIMENTS, results_folder

GPUS = "CUDA_VISIBLE_DEVICES"
Words = Sequence[str]

REQUIREMENTS = """\
kubetuna[analysis,dashboard]
kubetuna-trial[task2]
"""
# Options of ``analyze`` that a word of their own follows.
OF_ANALYZE = ("--out", "--store", "--namespace", "-n")
MODULE = '''\
"""``{module}`` under the name that the contest's guide gives it."""

from {module} import *  # noqa: F403
'''
PROGRAM = (
    MODULE
    + """\
from {module} import main

if __name__ == "__main__":
    main()
"""
)


def _search(task: str, words: Words) -> list[str]:
    """A search keeps the guide's store and name, where neither is given."""
    parser = _parser(f"{task}_hpo")
    parser.add_argument("--config", default="quick")
    parser.add_argument("--name")
    parser.add_argument("--store")
    known, rest = parser.parse_known_args(words)
    store = known.store or os.environ.get("KUBETUNA_STORE") or f"sqlite:///{task}_hpo.db"
    name = known.name or f"{task}_{known.config}_hpo"
    return ["tune", task, "--config", known.config, "--name", name, "--store", store, *rest]


def _train(words: Words) -> list[str]:
    parser = _parser("task1_ensemble_hpo_integrated")
    parser.add_argument("--hpo-results", default=str(results_folder("task1")))
    parser.add_argument("--show-hpo-summary", action="store_true")
    known, rest = parser.parse_known_args(words)
    verb = "summary" if known.show_hpo_summary else "train"
    return [verb, known.hpo_results, *_on_gpu(parser, rest)]


def _evaluate(words: Words) -> list[str]:
    parser = _parser("task1_eval")
    parser.add_argument("--ensemble-path", required="--help" not in words)
    known, rest = parser.parse_known_args(words)
    return ["evaluate", *filter(None, [known.ensemble_path]), *_on_gpu(parser, rest)]


def _analyze(words: Words) -> list[str]:
    """Of all results, where no folder is named beside options."""
    parser = _parser("hpo_utils")
    for option in OF_ANALYZE:
        parser.add_argument(option)
    _, rest = parser.parse_known_args(words)
    named = any(not word.startswith("-") for word in rest)
    return ["analyze", *([] if named else [str(EXPERIMENTS)]), *words]


PROGRAMS: Mapping[str, Callable[[Words], list[str]]] = {
    "task1_hpo": lambda words: _search("task1", words),
    "task2_hpo": lambda words: _search("task2", words),
    "task1_ensemble_hpo_integrated": _train,
    "task1_eval": _evaluate,
    "hpo_utils": _analyze,
}
# What the folder holds beside the programs' own files.
MODULES = {"hpo_config.py": "hpo_config", "shared/hpo_utils.py": "hpo_utils"}


def _parser(program: str) -> ArgumentParser:
    """Options that are not named are the verb's own, which refuses what it does not know."""
    return ArgumentParser(prog=f"python {program}.py", add_help=False, allow_abbrev=False)


def _on_gpu(parser: ArgumentParser, words: Words) -> list[str]:
    """The guide's first word is a GPU, counted among those that may be used; a negative one means none."""
    if not words or not re.fullmatch(r"-?\d+", words[0]):
        return list(words)
    wanted, given = int(words[0]), os.environ.get(GPUS)
    usable = given.split(",") if given else []
    if usable and wanted >= len(usable):
        parser.error(f"GPU {wanted} is not among the {len(usable)} of {GPUS}={given}; count from 0")
    if wanted < 0 or given is None:
        os.environ[GPUS] = "" if wanted < 0 else str(wanted)
    elif usable:
        os.environ[GPUS] = usable[wanted]
    return list(words[1:])


def run(program: str) -> None:
    """Be a program of the guide: run its verb with the words of this process, and leave with the verb's code."""
    sys.argv = ["kubetuna", *PROGRAMS[program](sys.argv[1:])]
    # The command line knows this room and not the other way round, so it is found as what was installed.
    (found,) = entry_points(group="console_scripts", name="kubetuna")
    found.load()()


def contents() -> dict[str, str]:
    """The files of the guide's folder, by their paths in it."""
    programs = {f"{name}.py": PROGRAM.format(module=f"kubetuna.finrl.{name}") for name in PROGRAMS}
    modules = {path: MODULE.format(module=f"kubetuna.finrl.{name}") for path, name in MODULES.items()}
    return {**programs, **modules, "requirements_hpo.txt": REQUIREMENTS}


def main() -> None:
    """Write the guide's files into a folder; one that holds something else is left as it is."""
    parser = ArgumentParser(prog="python -m kubetuna.finrl.guide", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="by default this one")
    folder = parser.parse_args().folder
    wanted = {folder / path: text for path, text in contents().items()}
    others = [str(path) for path, text in wanted.items() if path.exists() and path.read_text("utf-8") != text]
    if others:
        parser.error(f"{', '.join(others)}: holds something else; name another folder")
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
        print(path)


if __name__ == "__main__":
    main()
