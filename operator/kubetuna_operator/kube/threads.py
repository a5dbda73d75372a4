"""The only place where the operator starts threads: one that dies takes the process along.

A process that lost a thread looks alive and does half its work: without the one of the Lease two operators lead.
Kubernetes starts a process again, but not a thread.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVarTuple

# A thread that computes keeps the interpreter this long from one that waits for it. A turn waits some twenty times,
# so by Python's own 5 ms a stop would come 100 ms late beside each long proposal.
SWITCH_SECONDS = 0.0005
# While all objects are looked through for garbage no thread runs: with Python's own thresholds for 150 ms, three
# times over, as the library of the `gp` sampler is loaded. So the young ones are, after 20,000 new ones, and all
# after 2 million.
GARBAGE = (20_000, 10, 10)

Ts = TypeVarTuple("Ts")

log = logging.getLogger(__name__)


def supervised(name: str, duty: Callable[[*Ts], object], *arguments: *Ts) -> threading.Thread:
    """A daemon thread, to be started. ``duty`` may return when it is done; an error that leaves it ends all."""

    def run() -> None:
        try:
            duty(*arguments)
        except BaseException as error:
            log.critical("the thread %s died", name, exc_info=error)
            end_process(f"nothing does the work of the thread {name}")

    return threading.Thread(target=run, name=name, daemon=True)


def share_fairly() -> None:
    """Let no thread of this process that computes hold up those that have little to do.

    What is loaded by now is never looked through for garbage again.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


def end_process(why: str) -> None:
    """End at once, whatever other threads are doing: nothing of ours may follow."""
    log.error("%s; leaving", why)
    logging.shutdown()
    os._exit(1)
