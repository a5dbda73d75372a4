"""kubetuna on the cluster, installed as a person would: with helm, for every namespace, with the demo database.

An image keeps its tag after an edit; its digest, as an annotation of the Pods, makes them start anew with it.
"""

from __future__ import annotations

from hack.cluster import api, images, project_images, volumes
from hack.cluster.commands import run, say
from hack.cluster.layout import Layout

NAMESPACE = "kubetuna"
IMAGES = ("operator", "dashboard", "postgres")
WITHIN = "5m"
NEXT = """
kubetuna runs in namespace kubetuna and watches every namespace. Next:

  eval "$(.venv/bin/python -m hack.cluster env)"            # KUBECONFIG, and kubectl and helm on the PATH
  kubectl apply -f examples/experiment-task1.yaml      # 20 trials, each with a GPU that is not there
  kubectl get experiments,trials
  .venv/bin/kubetuna watch default/task1               # and status, trials, best, logs, report
  kubectl -n kubetuna port-forward service/kubetuna-dashboard 8080   # then open http://localhost:8080/
  helm test kubetuna -n kubetuna                       # two small trials, from the object to its status
  make cluster-down                                    # ends and removes all of it"""


def install(layout: Layout) -> None:
    """Install the chart, or bring it up to date; return when all of it is ready."""
    say("installing kubetuna with helm: operator, PostgreSQL, dashboard")
    make_namespace(layout, NAMESPACE)
    volumes.make(layout, *volumes.DATABASE)
    helm = [layout.program("helm"), "--kubeconfig", str(layout.kubeconfig), "--namespace", NAMESPACE]
    # CRDs that stand there from another way of installing become the release's.
    flags = ["--install", "--take-ownership", "--wait", "--timeout", WITHIN]
    values = ["--set", "watchAll=true", "--set", "postgres.enabled=true", *_image_notes(layout)]
    run([*helm, "upgrade", "kubetuna", str(project_images.CHART), *flags, *values])


def make_namespace(layout: Layout, name: str) -> None:
    """Make a namespace in which only restricted Pods are admitted."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    api.apply(layout, f"/api/v1/namespaces/{name}", manifest)


def _image_notes(layout: Layout) -> list[str]:
    loaded = images.loaded(layout)
    digests = [f"{name}={loaded[project_images.reference(name)]}" for name in ("operator", "dashboard")]
    return [word for digest in digests for word in ("--set-string", f"podAnnotations.{digest}")]
