"""The Kubernetes controller of kubetuna: it carries out the core's plan with Pods, and holds no policy."""

GROUP = "kubetuna.dev"
VERSION = "v1alpha1"
FIELD_MANAGER = "kubetuna"
FINALIZER = "kubetuna.dev/study"

LABEL_EXPERIMENT = "kubetuna.dev/experiment"
LABEL_TRIAL = "kubetuna.dev/trial"
LABEL_REPEAT = "kubetuna.dev/repeat"
LABEL_ATTEMPT = "kubetuna.dev/attempt"
# Which of an attempt's Pods is read, where it has several.
LABEL_PRIMARY = "kubetuna.dev/primary"
LABEL_TOLD = "kubetuna.dev/told"
ANNOTATION_PARAMS = "kubetuna.dev/params-hash"
ANNOTATION_EXPERIMENT = "kubetuna.dev/experiment-uid"
# Before the ID of what a person asks of a trial.
ANNOTATION_REQUEST = "request.kubetuna.dev/"
# A look at the held-out test of an Experiment, by its number; written and read by the command line.
ANNOTATION_LOOK = "look.kubetuna.dev/"
# Of an Experiment that was made from one of Katib's: a hash of what that wanted.
ANNOTATION_WANTED = "kubetuna.dev/katib-spec"
# How an attempt had failed when one of its Pods was told to end: whoever comes next would see only that it was.
ANNOTATION_FAILURE = "kubetuna.dev/failure"
ANNOTATION_TIMEOUT = "kubetuna.dev/trial-timeout-seconds"
# Of a trial that writes its metrics into files: the container whose log is read in place of the trial's.
METRICS_CONTAINER = "kubetuna-metrics"
