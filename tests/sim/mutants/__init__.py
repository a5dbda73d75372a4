"""Whether the simulated worlds would find what they are there for: mutants of the operator, run until one fails.

``fixes`` brings back faults that were found once, ``error_handling`` makes mistakes that people make. A mutant is
text in a file and what takes its place (``mutant``); ``python -m tests.sim.mutants`` runs them.
"""
