"""The command ``python -m kubetuna_trial.task1``."""

import sys

from kubetuna_trial.task1.cli import main

sys.exit(main(sys.argv[1:]))
