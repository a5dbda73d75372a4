"""Pages about a study: the self-contained report, and Optuna Dashboard over the store."""

from __future__ import annotations

import time
import webbrowser
from pathlib import Path

from kubetuna.cli.local import Seen
from kubetuna.errors import BackendMissing, KubetunaError

REPORT = "report.html"


def write_report(seen: Seen, path: Path | None) -> Path:
    """Write the report, whole or not at all, to ``path`` or into the folder of the study's runs."""
    from kubetuna.report.page import render_report

    target = path or seen.folder / REPORT
    text = render_report(seen.spec, seen.status, seen.trials, time.time())
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(target.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(target)
    return target


def serve_dashboard(url: str, host: str, port: int, browse: bool) -> None:
    """Serve Optuna Dashboard over a store until interrupted.

    Raises:
        BackendMissing: optuna-dashboard is not installed.
        KubetunaError: the address cannot be used.
    """
    from kubetuna.dashboard import listen

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
    with server:
        server.serve_forever()
