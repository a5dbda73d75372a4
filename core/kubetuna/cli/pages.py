"""Pages about a study: the self-contained report, and Optuna Dashboard over the store."""

from __future__ import annotations

import signal
import webbrowser
from pathlib import Path

from kubetuna.analysis import folder
from kubetuna.analysis.folder import REPORT
from kubetuna.errors import BackendMissing, KubetunaError
from kubetuna.study.record import StudyRecord


def write_report(seen: StudyRecord, path: Path | None) -> Path:
    """Write the report, whole or not at all, to ``path`` or into the folder of the study's runs."""
    return folder.write_report(seen, path or seen.folder / REPORT)


def serve_dashboard(url: str, host: str, port: int, browse: bool) -> None:
    """Serve Optuna Dashboard over a store until interrupted.

    Raises:
        BackendMissing: optuna-dashboard is not installed.
        KubetunaError: the address cannot be used.
    """
    from kubetuna.store.dashboard import listen

    try:
        server = listen(url, host, port)
    except ImportError:
        raise BackendMissing("Optuna Dashboard is not installed: pip install 'kubetuna[dashboard]'") from None
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
