"""What the operator reports about itself: Prometheus metrics, under controller-runtime's names where it has one.

No metric carries an experiment's name: there is no bound to how many there are.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)

REQUESTS = Counter("rest_client_requests", "Requests to the API server", ["method", "code"])
REQUEST_SECONDS = Histogram(
    "rest_client_request_duration_seconds", "Time until the API server's answer began", ["method"], buckets=_FAST
)
LEADER = Gauge("leader_election_master_status", "1 while this process leads", ["name"])
RECONCILED = Counter("controller_runtime_reconcile", "Keys worked on, by result", ["controller", "result"])
QUEUE_DEPTH = Gauge("workqueue_depth", "Keys that wait", ["name"])
QUEUE_ADDS = Counter("workqueue_adds", "Keys put into the queue", ["name"])
QUEUE_RETRIES = Counter("workqueue_retries", "Keys that come again after a failure", ["name"])
QUEUE_WAIT = Histogram("workqueue_queue_duration_seconds", "Time that a key waited", ["name"], buckets=_FAST)
QUEUE_WORK = Histogram("workqueue_work_duration_seconds", "Time that a key was worked on", ["name"], buckets=_FAST)
RECONCILE_SECONDS = Histogram(
    "controller_runtime_reconcile_time_seconds", "Time of one turn of an experiment", ["controller"], buckets=_FAST
)

WATCH_RESTARTS = Counter("kubetuna_watch_restarts", "Watches that were opened again", ["kind", "reason"])
UNREADABLE_NAMESPACES = Gauge(
    "kubetuna_namespaces_unreadable", "Watched namespaces that the API server refuses to show"
)
UNREADABLE = Counter("kubetuna_unreadable_objects", "Times that an object could not be read", ["kind"])
EXPERIMENTS = Gauge("kubetuna_experiments_running", "Experiments that are being carried out")
TRIALS = Counter("kubetuna_trials", "Trials that ended, by Optuna's state and our outcome", ["state", "outcome"])
TRIAL_SECONDS = Histogram("kubetuna_trial_duration_seconds", "From a trial's first start to its end", buckets=_LONG)
PODS_RUNNING = Gauge("kubetuna_trial_pods_running", "Pods of trials that have started and not ended")
OUTCOMES = Counter("kubetuna_trial_attempts", "Attempts that ended, by how", ["reason"])
LOG_GAPS = Counter("kubetuna_log_gaps", "Places where lines of a trial's log may be lost")
LOG_LAG = Histogram("kubetuna_log_lag_seconds", "From a line's time on its node until it was read", buckets=_FAST)
COMMIT_SECONDS = Histogram("kubetuna_store_commit_seconds", "Time of one commit to the database", buckets=_FAST)
STORE_ERRORS = Counter("kubetuna_store_errors", "Times that the database could not be reached")
EVENTS_DROPPED = Counter("kubetuna_events_dropped", "Kubernetes Events that were too many, or were refused")
