"""The operator in a world that fails on purpose: one thread, one simulated clock, everything chosen by one seed.

Two real operators run in it over the API server of ``tests.apiserver`` and a real database. ``world`` puts it
together and lets things happen one after the other, ``oracles`` says what must never be, ``story`` tells what
happened and shortens it to the fewest faults. ``python -m tests.sim`` runs seeds.
"""

# The seeds that `make test` runs: from where, and how many.
FIRST, SEEDS = 100, 2_000
