"""Keys, certificates and tokens of the cluster: made once, kept while it stands.

One authority signs for the API server, the kubelet and the client that the API server is to the kubelet
(without that certificate the kubelet refuses `kubectl logs`). Everybody else shows a token: the file of tokens is
read by the API server at its start, so all of them are made together.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.commands import run
from hack.cluster.layout import API_SERVICE, DOMAIN, NODE, Layout

DAYS = "3650"
CURVE = "ec_paramgen_curve:P-256"


@dataclass(frozen=True, slots=True)
class User:
    """Who a token stands for."""

    name: str
    user: str
    group: str = ""


USERS = (
    User("admin", "admin", "system:masters"),
    User("controller-manager", "system:kube-controller-manager"),
    User("scheduler", "system:kube-scheduler"),
    User("proxy", "system:kube-proxy"),
    User("dns", "system:coredns"),
    User("kubelet", f"system:node:{NODE}", "system:nodes"),
)


def make_pki(layout: Layout) -> None:
    """Make what is missing."""
    layout.pki.mkdir(parents=True, exist_ok=True)
    layout.pki.chmod(0o700)
    _make_authority(layout)
    _sign(layout, "apiserver", "/CN=kube-apiserver", "serverAuth", _api_names(layout))
    _sign(layout, "apiserver-kubelet", "/O=system:masters/CN=apiserver-kubelet-client", "clientAuth")
    _sign(layout, "kubelet", f"/CN={NODE}", "serverAuth", (f"DNS:{NODE}", f"IP:{layout.node_address}"))
    _make_service_account_keys(layout)
    _make_tokens(layout)


def certificate(layout: Layout, name: str) -> str:
    return str(layout.pki / f"{name}.crt")


def private_key(layout: Layout, name: str) -> str:
    return str(layout.pki / f"{name}.key")


def token_file(layout: Layout) -> Path:
    return layout.pki / "tokens.csv"


def token(layout: Layout, name: str) -> str:
    """Return the token of one of the USERS."""
    wanted = next(user for user in USERS if user.name == name)
    for line in token_file(layout).read_text().splitlines():
        value, user = line.split(",")[:2]
        if user == wanted.user:
            return value
    raise KeyError(name)


def _api_names(layout: Layout) -> tuple[str, ...]:
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}"]
    addresses = [API_SERVICE, layout.node_address, "127.0.0.1"]
    return (*(f"DNS:{name}" for name in [*names, "localhost"]), *(f"IP:{address}" for address in addresses))


def _make_authority(layout: Layout) -> None:
    if Path(certificate(layout, "ca")).exists():
        return
    files = ["-keyout", private_key(layout, "ca"), "-out", certificate(layout, "ca")]
    extensions = _extensions("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,digitalSignature")
    subject = ["-subj", "/CN=kubetuna-cluster"]
    run(["openssl", "req", "-x509", *_new_key(), *subject, "-days", DAYS, *extensions, *files])


def _sign(layout: Layout, name: str, subject: str, usage: str, names: Sequence[str] = ()) -> None:
    if Path(certificate(layout, name)).exists():
        return
    alternatives = [f"subjectAltName={','.join(names)}"] if names else []
    extensions = _extensions("basicConstraints=CA:FALSE", f"extendedKeyUsage={usage}", *alternatives)
    issuer = ["-CA", certificate(layout, "ca"), "-CAkey", private_key(layout, "ca")]
    files = ["-keyout", private_key(layout, name), "-out", certificate(layout, name)]
    run(["openssl", "req", "-x509", *_new_key(), "-subj", subject, "-days", DAYS, *issuer, *extensions, *files])


def _new_key() -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", CURVE, "-noenc"]


def _extensions(*lines: str) -> list[str]:
    return [word for line in lines for word in ("-addext", line)]


def _make_service_account_keys(layout: Layout) -> None:
    private, public = private_key(layout, "service-accounts"), str(layout.pki / "service-accounts.pub")
    if Path(public).exists():
        return
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", CURVE, "-out", private])
    run(["openssl", "pkey", "-in", private, "-pubout", "-out", public])


def _make_tokens(layout: Layout) -> None:
    if token_file(layout).exists():
        return
    lines = [f'{secrets.token_hex(24)},{user.user},{user.name},"{user.group}"' for user in USERS]
    token_file(layout).write_text("\n".join(lines) + "\n")
    token_file(layout).chmod(0o600)
