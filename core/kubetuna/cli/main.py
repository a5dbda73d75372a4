"""The command line: its verbs in one table, exit codes that scripts rely on, never a traceback.

Exit codes: 0 succeeded, 1 the experiment (or the command) failed, 2 invalid input, 3 the study is held by
another runner, 130 interrupted. Tables and the live view go to people; with ``--json`` stdout ends with one
line of JSON. To add a verb, write a function in the module that it belongs to and name it in ``VERBS``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from kubetuna.cli import cluster, experiments, finrl, migration, results, steering, training
from kubetuna.cli.options import FAILED, HELD, INTERRUPTED, INVALID, OK, errors
from kubetuna.errors import (
    KubetunaError,
    RequestRefused,
    SpecError,
    StoreError,
    StoreFenced,
    StudyHeld,
    StudyMismatch,
)

# In the order of `kubetuna --help`.
VERBS: tuple[Callable[..., None], ...] = (
    experiments.run,
    experiments.plan,
    migration.migrate,
    experiments.status,
    experiments.trials,
    experiments.best,
    experiments.logs,
    experiments.report,
    experiments.dashboard,
    cluster.submit,
    cluster.watch,
    cluster.suspend,
    cluster.resume,
    cluster.stop,
    finrl.tune,
    results.summary,
    results.compare,
    results.analyze,
    results.export,
    training.train,
    finrl.evaluate,
    training.retest,
    finrl.walkforward,
    finrl.finalize,
)
# Verbs whose further options are not known beforehand: a study's parameters.
OPEN_ENDED = {training.train: {"allow_extra_args": True, "ignore_unknown_options": True}}

app = typer.Typer(
    name="kubetuna",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def program() -> None:
    """Hyperparameter tuning from one YAML file, on this machine or on Kubernetes."""
    # Not at the start of the program, since --help needs no Optuna.
    from optuna.logging import WARNING, set_verbosity

    set_verbosity(WARNING)


for verb in VERBS:
    app.command(context_settings=OPEN_ENDED.get(verb))(verb)
app.add_typer(steering.trial, name="trial")


def main() -> None:
    """Entry point: runs the command line and turns every known error into words and an exit code."""
    # By its own name, whatever program of the contest's guide runs it.
    sys.exit(_guarded(lambda: app(prog_name="kubetuna")))


def _guarded(command: Callable[[], Any]) -> int:
    try:
        command()
        return OK
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough of it; the interpreter must not try to write more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KubetunaError as error:
        errors.print(str(error) if isinstance(error, SpecError) else f"error: {error}", markup=False)
        return _code_of(error)
    except OSError as error:
        errors.print(f"error: {error.strerror or error}: {error.filename or 'no file named'}", markup=False)
        return FAILED
    except Exception as error:
        if os.environ.get("KUBETUNA_TRACEBACK"):
            raise
        errors.print(f"internal error: {type(error).__name__}: {error}", markup=False)
        errors.print("This is a fault of kubetuna. KUBETUNA_TRACEBACK=1 shows where.", markup=False)
        return FAILED


def _code_of(error: KubetunaError) -> int:
    if isinstance(error, StudyHeld | StoreFenced):
        return HELD
    return INVALID if isinstance(error, SpecError | StudyMismatch | StoreError | RequestRefused) else FAILED


if __name__ == "__main__":
    main()
