"""Speak JSON to the API server as its administrator: enough to wait, to apply and to patch.

`kubectl` would do, but takes a tenth of a second of processor time for each question of a waiting loop.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from hack.cluster import pki
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
POLL_EVERY = 0.1


def call(layout: Layout, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
    """Send one request and return the decoded answer, text where it is not JSON."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {pki.token(layout, 'admin')}", "Content-Type": content_type}
    request = urllib.request.Request(layout.api_url + path, data, headers, method=method)
    context = ssl.create_default_context(cafile=pki.certificate(layout, "ca"))
    # Without the empty handler a proxy in the environment would be asked for the node's address.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(request, timeout=10) as answer:
            return _decode(answer.read())
    except urllib.error.HTTPError as error:
        raise ClusterError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None
    except OSError as error:
        raise ClusterError(f"{method} {path}: {error}") from None


def _decode(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


def apply(layout: Layout, path: str, manifest: dict[str, Any]) -> None:
    """Create or bring up to date one object by server-side apply."""
    call(layout, "PATCH", f"{path}?fieldManager=kubetuna-cluster&force=true", manifest, APPLY)


def wait_until(
    what: str, seconds: float, check: Callable[[], bool], guard: Callable[[], None] | None = None
) -> None:
    """Ask again until the check holds; errors of the API count as not yet.

    Args:
        what: said in the error where it never does.
        seconds: for how long.
        check: what must become true.
        guard: called before each try; raises where waiting is useless, such as a daemon that has ended.
    """
    deadline, last = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        if guard:
            guard()
        try:
            if check():
                return
        except ClusterError as error:
            last = f" ({error})"
        time.sleep(POLL_EVERY)
    raise ClusterError(f"{what}: not within {seconds:g} s{last}")
