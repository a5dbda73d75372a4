"""What the operator says of itself: Prometheus metrics, under controller-runtime's names where it has one."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

REQUESTS = Counter("rest_client_requests", "Requests to the API server", ["method", "code"])
LEADER = Gauge("leader_election_master_status", "1 while this process leads", ["name"])
WATCH_RESTARTS = Counter("kubetuna_watch_restarts", "Watches that were opened again", ["kind", "reason"])
EXPERIMENTS = Gauge("kubetuna_experiments_running", "Experiments that are being carried out")
OUTCOMES = Counter("kubetuna_trial_attempts", "Attempts that ended, by how", ["reason"])
LOG_GAPS = Counter("kubetuna_log_gaps", "Places where lines of a trial's log were lost")
STORE_ERRORS = Counter("kubetuna_store_errors", "Times that the database could not be reached")
