"""Optuna Dashboard over the store."""

from __future__ import annotations

import signal
import webbrowser

from kubetuna.errors import KubetunaError


def serve_dashboard(url: str, host: str, port: int, browse: bool) -> None:
    """Serve Optuna Dashboard over a store until interrupted.

    Raises:
        BackendMissing: optuna-dashboard is not installed.
        KubetunaError: the address cannot be used.
    """
    from kubetuna.store.dashboard import listen

    try:
        server = listen(url, host, port)
    except OSError as error:
        raise KubetunaError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port"
        ) from error
    if browse:
        webbrowser.open(f"http://{host}:{port}/")
    # A script's shell lets what it starts in the background ignore SIGINT, so that Ctrl-C would be lost.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with server:
        server.serve_forever()
