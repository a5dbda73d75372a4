"""``kubetuna-operator``: connect, be elected, watch, run; release everything on SIGTERM."""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from kubetuna.errors import KubetunaError
from kubetuna.store.database import open_engine, write_only_while
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.endpoints import serve
from kubetuna_operator.experiment.controller import Controller
from kubetuna_operator.health import Report, Sign, alive
from kubetuna_operator.katib.controller import KatibController
from kubetuna_operator.kube.api_client import Api
from kubetuna_operator.kube.leader import Leadership
from kubetuna_operator.kube.threads import end_process, share_fairly
from kubetuna_operator.settings import Settings, parse_settings

log = logging.getLogger("kubetuna_operator")

# Longer than a watch may be silent, or a write may take with its place in the budget.
HEARING_SECONDS = 150.0
# Several times what one look at the Lease may take.
LEASE_SECONDS = 60.0


class _JsonLines(logging.Formatter):
    """One JSON object a line; never a secret, since nothing here logs URLs."""

    def format(self, record: logging.LogRecord) -> str:
        found = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        for name in ("experiment", "trial", "attempt", "outcome"):
            if hasattr(record, name):
                found[name] = getattr(record, name)
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found)


def main() -> None:
    """Entry point. Exit codes: 0 asked to stop, 1 leadership or study lost, 2 cannot start."""
    settings = parse_settings(sys.argv[1:])
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("optuna").setLevel(logging.ERROR)
    share_fairly()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        code = run(settings, stopped)
    except KubetunaError as error:
        log.error("%s", error)
        sys.exit(2)
    logging.shutdown()
    # Another one leads now: nothing of ours may follow, such as a study that is still being opened.
    os._exit(code)


def run(settings: Settings, stopped: threading.Event) -> int:
    """Work until ``stopped``."""
    api = Api.connect(settings.kubeconfig)
    account = (settings.own_namespace, settings.account)
    leadership = Leadership(api, settings.own_namespace, settings.identity)
    database = open_engine(settings.store)
    if settings.elect:
        api = api.while_leading(leadership.holds)
        write_only_while(database, leadership.holds)
    context = OperatorContext.make(api, database, settings.identity, settings.node_grace, account)
    controller = Controller(context, settings.namespaces, lambda: end_process("another operator took a study over"))
    controller.watch()
    signs = [*_signs(controller), Sign("writers", context.deferred.hanging, HEARING_SECONDS)]
    signs += [Sign("lease", leadership.silent, LEASE_SECONDS)] if settings.elect else []
    unread: list[Callable[[], tuple[str, ...]]] = []

    def ready() -> Report:
        return controller.ready().noting(why for refusals in unread for why in refusals())

    server = serve((settings.address, settings.port), {"/healthz": lambda: alive(signs), "/readyz": ready})
    if settings.elect and not leadership.acquire(stopped):
        return 0
    log.info("leading as %s", settings.identity)
    if settings.elect:
        leadership.keep(lambda: end_process("the lease was lost"))
    try:
        context.deferred.start()
        context.store.watch()
        if settings.katib:
            served = KatibController(context, controller.watches)
            signs += _signs(served, "katib ")
            unread.append(served.refusals)
            served.run(stopped)
        controller.run(stopped)
    finally:
        server.shutdown()
        if settings.elect:
            leadership.release()
    return 0


def _signs(driven: Controller | KatibController, whose: str = "") -> list[Sign]:
    """What both controllers show of their life."""
    return [
        Sign(f"{whose}watches", lambda: time.monotonic() - driven.last_event_at(), HEARING_SECONDS),
        Sign(f"{whose}experiments", driven.hanging, HEARING_SECONDS),
    ]


if __name__ == "__main__":
    main()
