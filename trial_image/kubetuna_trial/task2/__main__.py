"""The command ``python -m kubetuna_trial.task2``."""

import sys

from kubetuna_trial.task2.cli import main

sys.exit(main(sys.argv[1:]))
