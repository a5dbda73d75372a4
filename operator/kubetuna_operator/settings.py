"""The operator's settings: flags and environment, checked before anything starts."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubetuna_operator.pods.status import LOST_SECONDS


@dataclass(frozen=True, slots=True)
class Settings:
    """``namespaces`` empty means all; ``identity`` tells this process from other operators.

    ``account`` is the service account that it has in its own namespace.
    """

    store: str
    namespaces: tuple[str, ...]
    own_namespace: str
    account: str
    identity: str
    elect: bool
    address: str
    port: int
    node_grace: float
    kubeconfig: str | None
    katib: bool = False


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Flags win over the environment. Leaves with 2 where the store is missing."""
    parser = _parser(environment)
    options = parser.parse_args(arguments)
    store = environment.get("KUBETUNA_STORE", "")
    if not store:
        parser.error("KUBETUNA_STORE must hold the database's URL, such as postgresql+psycopg2://user@host/db")
    pod = environment.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}"
    return Settings(
        store=store,
        namespaces=tuple(n.strip() for n in options.namespaces.split(",") if n.strip()),
        own_namespace=environment.get("POD_NAMESPACE", "kubetuna"),
        account=environment.get("POD_SERVICE_ACCOUNT", "kubetuna-operator"),
        identity=pod,
        elect=not options.no_leader_election,
        address=options.address,
        port=options.port,
        node_grace=options.node_grace,
        kubeconfig=options.kubeconfig,
        katib=options.katib,
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubetuna-operator", description="The Kubernetes controller of kubetuna.")
    parser.add_argument("--kubeconfig", help="else the Pod's own account, else the usual kubeconfig")
    parser.add_argument(
        "--namespaces",
        default=environment.get("KUBETUNA_NAMESPACES", ""),
        help="watch these, separated by commas; none: all",
    )
    parser.add_argument("--no-leader-election", action="store_true", help="for one operator outside the cluster")
    parser.add_argument(
        "--katib",
        action="store_true",
        default=environment.get("KUBETUNA_KATIB", "") == "true",
        help="carry out Katib's Experiments (kubeflow.org/v1beta1) too",
    )
    parser.add_argument("--port", type=int, default=8080, help="of /metrics, /healthz and /readyz")
    parser.add_argument(
        "--address",
        default="" if "KUBERNETES_SERVICE_HOST" in environment else "127.0.0.1",
        help="where /metrics, /healthz and /readyz are served: in a Pod everywhere, else on this machine only",
    )
    parser.add_argument(
        "--node-grace",
        type=float,
        default=LOST_SECONDS,
        metavar="SECONDS",
        help="how long after a Pod should be gone its silent node counts as lost, and the trial gets a new attempt",
    )
    return parser
