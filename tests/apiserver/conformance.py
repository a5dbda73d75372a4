"""What the operator takes for granted of an API server, as scripts that run on the one in memory and on real ones.

Where they disagree the real one is right. Each script has a namespace of its own, with our CRDs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from kubetuna.experiment.kinds import JOB
from kubetuna_operator.kube.api_client import Api, Refused, collection, split_lines
from tests.apiserver.programs import Program

SILENCE = 20.0


class Subject(Protocol):
    """An API server with a cluster behind it."""

    api: Api
    namespace: str

    def run(self, name: str, program: Program, **metadata: Any) -> None:
        """Make a Pod that does this; its container is called ``trial``."""

    def template(self, program: Program) -> dict[str, Any]:
        """The spec of such a Pod."""

    def until(self, check: Callable[[], Any]) -> Any:
        """Wait, while the cluster works, for something that holds."""


def path(subject: Subject, kind: str, name: str = "") -> str:
    """Of a collection, or of an object in it."""
    namespace = subject.namespace
    root = JOB.collection(namespace) if kind == "jobs" else collection(kind, namespace)
    return root + (f"/{name}" if name else "")


def refusal(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[int, str]:
    """Code and reason of a request that must be refused."""
    with pytest.raises(Refused) as caught:
        call(*arguments, **named)
    return caught.value.code, caught.value.reason


def make(subject: Subject, name: str, **metadata: Any) -> dict[str, Any]:
    """A ConfigMap."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"a": "1"}}
    return subject.api.create(path(subject, "configmaps"), body)


def gone(subject: Subject, where: str) -> bool:
    """Whether nothing is at a path."""
    try:
        subject.api.get(where)
    except Refused as error:
        return error.code == 404
    return False


def names_are_taken_once_and_absence_is_told(s: Subject) -> None:
    made = make(s, "one")
    metadata = made["metadata"]
    assert metadata["uid"] and metadata["resourceVersion"] and metadata["creationTimestamp"].endswith("Z")
    assert s.api.get(path(s, "configmaps", "one")) == made
    assert refusal(make, s, "one") == (409, "AlreadyExists")
    assert refusal(s.api.get, path(s, "configmaps", "two")) == (404, "NotFound")
    assert refusal(s.api.merge, path(s, "configmaps", "two"), {}) == (404, "NotFound")
    assert refusal(s.api.get, "/apis/kubetuna.dev/v1alpha1/nonsense")[0] == 404
    unnamed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}
    assert refusal(s.api.create, path(s, "configmaps"), unnamed) == (422, "Invalid")
    elsewhere = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "elsewhere"}}
    assert refusal(s.api.create, path(s, "configmaps"), elsewhere) == (400, "BadRequest")
    assert refusal(s.api.create, collection("configmaps", "no-such"), {"metadata": {"name": "x"}})[0] == 404


def deletes_carry_their_preconditions(s: Subject) -> None:
    made, where = make(s, "one"), path(s, "configmaps", "one")
    s.api.delete(where, uid="7e57d004-2b97-0e7a-b45f-5387367791cd")
    assert refusal(s.api.delete, where, preconditions={"resourceVersion": "1"}) == (409, "Conflict")
    assert s.api.get(where) == made
    s.api.delete(where, uid=made["metadata"]["uid"])
    s.api.delete(where)
    assert gone(s, where)
    assert make(s, "one")["metadata"]["uid"] != made["metadata"]["uid"]


def a_dry_run_leaves_nothing(s: Subject) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}}
    assert s.api.create(path(s, "configmaps"), body, dryRun="All")["metadata"]["uid"]
    assert gone(s, path(s, "configmaps", "one"))


def a_write_on_old_knowledge_is_refused(s: Subject) -> None:
    made, where = make(s, "one"), path(s, "configmaps", "one")
    newer = s.api.replace(where, {**made, "data": {"a": "2"}})
    assert newer["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    assert refusal(s.api.replace, where, {**made, "data": {"a": "3"}}) == (409, "Conflict")
    old = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"a": "3"}}
    assert refusal(s.api.merge, where, old) == (409, "Conflict")
    assert s.api.get(where)["data"] == {"a": "2"}


def a_patch_of_another_object_is_refused(s: Subject) -> None:
    make(s, "one")
    stranger = {"metadata": {"uid": "7e57d004-2b97-0e7a-b45f-5387367791cd", "labels": {"a": "b"}}}
    assert refusal(s.api.merge, path(s, "configmaps", "one"), stranger) in ((409, "Conflict"), (422, "Invalid"))


def a_merge_patch_sets_removes_and_keeps(s: Subject) -> None:
    make(s, "one", labels={"x": "1", "y": "1"})
    where = path(s, "configmaps", "one")
    change: dict[str, Any] = {"metadata": {"labels": {"x": None, "z": "2"}}, "data": {"b": "2"}}
    after = s.api.merge(where, change)
    assert after["metadata"]["labels"] == {"y": "1", "z": "2"} and after["data"] == {"a": "1", "b": "2"}
    # What changes nothing is no new revision, so no watch hears of it.
    assert s.api.merge(where, change)["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


def _applied(s: Subject, manager: str, data: dict[str, str]) -> dict[str, Any]:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}
    found: dict[str, Any] = s.api.apply(path(s, "configmaps", "one"), body, manager).get("data", {})
    return found


def what_a_manager_leaves_out_goes_and_what_others_applied_stays(s: Subject) -> None:
    assert _applied(s, "me", {"a": "1", "b": "1", "c": "1"}) == {"a": "1", "b": "1", "c": "1"}
    assert _applied(s, "you", {"b": "1", "d": "1"}) == {"a": "1", "b": "1", "c": "1", "d": "1"}
    assert _applied(s, "me", {"a": "2"}) == {"a": "2", "b": "1", "d": "1"}
    # By force a field changes hands, and is then not ours to take away.
    assert _applied(s, "you", {"a": "3"}) == {"a": "3"}
    assert _applied(s, "me", {"x": "1"}) == {"a": "3", "x": "1"}


def experiment(name: str = "small") -> dict[str, Any]:
    """An Experiment that no operator has seen."""
    space = {"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}}
    pod = {"containers": [{"name": "trial", "image": "python"}]}
    spec = {
        "objective": {"type": "minimize", "objectiveMetricName": "loss"},
        "parameters": [space],
        "maxTrialCount": 2,
        "trialTemplate": {"trialSpec": {"apiVersion": "v1", "kind": "Pod", "spec": pod}},
    }
    return {"apiVersion": "kubetuna.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": name}, "spec": spec}


def a_status_is_apart_and_only_the_spec_is_a_generation(s: Subject) -> None:
    where, body = path(s, "experiments", "small"), experiment()
    made = s.api.apply(where, {**body, "status": {"state": "Succeeded"}}, "user")
    assert made["metadata"]["generation"] == 1 and "status" not in made
    named = {n: body[n] for n in ("apiVersion", "kind", "metadata")}
    one, two = ({"type": t, "status": "True", "reason": "x", "message": ""} for t in ("Created", "Running"))
    status = {"state": "Running", "conditions": [one, two], "extra": {"a": 1.5}, "list": ["x"]}
    shown = s.api.apply(f"{where}/status", {**named, "status": status, "spec": {"maxTrialCount": 9}}, "kubetuna")
    assert (shown["status"], shown["spec"]) == (status, made["spec"]) and shown["metadata"]["generation"] == 1
    later = {"state": "Running", "conditions": [{**one, "status": "False"}]}
    shown = s.api.apply(f"{where}/status", {**named, "status": later}, "kubetuna")
    assert shown["status"] == later
    edited = s.api.merge(where, {"spec": {"maxTrialCount": 3}, "status": {"state": "Failed"}})
    assert edited["metadata"]["generation"] == 2 and edited["status"] == later
    assert s.api.merge(where, {"metadata": {"labels": {"a": "b"}}})["metadata"]["generation"] == 2


def a_status_heeds_a_revision_and_no_uid(s: Subject) -> None:
    where = path(s, "experiments", "small")
    s.api.apply(where, experiment(), "user")
    body = experiment() | {"status": {"state": "Running"}}
    body["metadata"]["uid"] = "7e57d004-2b97-0e7a-b45f-5387367791cd"
    s.api.apply(f"{where}/status", body, "kubetuna")
    assert s.api.get(where)["status"] == {"state": "Running"}
    old = experiment() | {"status": {"state": "Failed"}}
    old["metadata"]["resourceVersion"] = "1"
    assert refusal(s.api.apply, f"{where}/status", old, "kubetuna") == (409, "Conflict")
    assert refusal(s.api.apply, path(s, "experiments", "none/status"), experiment("none"), "kubetuna")[0] == 404
    body["metadata"]["name"] = "none"
    assert refusal(s.api.apply, path(s, "experiments", "none"), body, "kubetuna") == (409, "Conflict")


def finalizers_hold_an_object_until_the_last_is_gone(s: Subject) -> None:
    body, where = experiment(), path(s, "experiments", "small")
    body["metadata"]["finalizers"] = ["kubetuna.dev/study"]
    made = s.api.create(path(s, "experiments"), body)
    s.api.delete(where)
    s.api.delete(where)
    kept = s.api.get(where)["metadata"]
    assert kept["deletionTimestamp"] and kept["uid"] == made["metadata"]["uid"]
    assert kept["generation"] == 2, "the wish to delete is a generation"
    s.api.merge(where, {"metadata": {"finalizers": [], "resourceVersion": kept["resourceVersion"]}})
    assert gone(s, where)


def dependents_go_with_their_owner(s: Subject) -> None:
    made = s.api.create(path(s, "experiments"), experiment())
    owner = {
        "apiVersion": made["apiVersion"],
        "kind": "Experiment",
        "name": "small",
        "uid": made["metadata"]["uid"],
    }
    make(s, "owned", ownerReferences=[owner])
    make(s, "free")
    s.api.delete(path(s, "experiments", "small"))
    s.until(lambda: gone(s, path(s, "configmaps", "owned")))
    assert not gone(s, path(s, "configmaps", "free"))


def an_owner_that_is_deleted_in_the_foreground_goes_last(s: Subject) -> None:
    """And so do those between, whose own wait for what these made in their turn."""
    made = make(s, "first")
    middle = make(s, "middle", ownerReferences=[_as_owner(made)])
    make(s, "last", ownerReferences=[_as_owner(middle)], finalizers=["kubetuna.dev/study"])
    make(s, "beside", ownerReferences=[{**_as_owner(made), "blockOwnerDeletion": False}])
    where = path(s, "configmaps", "first")
    s.api.delete(where, uid=made["metadata"]["uid"], propagationPolicy="Foreground")
    s.until(lambda: s.api.get(path(s, "configmaps", "last"))["metadata"].get("deletionTimestamp"))
    s.until(lambda: gone(s, path(s, "configmaps", "beside")))
    for name in ("first", "middle"):
        metadata = s.api.get(path(s, "configmaps", name))["metadata"]
        assert metadata["deletionTimestamp"] and metadata["finalizers"] == ["foregroundDeletion"]
    s.api.merge(path(s, "configmaps", "last"), {"metadata": {"finalizers": []}})
    s.until(lambda: gone(s, where))
    assert gone(s, path(s, "configmaps", "middle"))


def _as_owner(obj: dict[str, Any]) -> dict[str, Any]:
    named = {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", **named, "blockOwnerDeletion": True}


def the_last_wish_how_to_delete_counts(s: Subject) -> None:
    made, where = make(s, "first"), path(s, "configmaps", "first")
    make(s, "last", ownerReferences=[_as_owner(made)], finalizers=["kubetuna.dev/study"])
    for policy in ("Foreground", "Foreground"):
        s.api.delete(where, propagationPolicy=policy)
    assert not gone(s, where)
    s.api.delete(where, propagationPolicy="Background")
    s.until(lambda: gone(s, where))
    s.until(lambda: s.api.get(path(s, "configmaps", "last"))["metadata"].get("deletionTimestamp"))
    s.api.merge(path(s, "configmaps", "last"), {"metadata": {"finalizers": []}})


def pages_show_one_moment(s: Subject) -> None:
    for number in range(5):
        make(s, f"m-{number}", labels={"of": "pages"})
    where, found, token = path(s, "configmaps"), [], None
    while True:
        page = s.api.get(where, labelSelector="of=pages", limit=2, **{"continue": token})
        found += [item["metadata"]["name"] for item in page["items"]]
        if token is None:
            s.api.delete(path(s, "configmaps", "m-4"))
            make(s, "m-9", labels={"of": "pages"})
        token = page["metadata"].get("continue")
        if not token:
            break
    assert found == [f"m-{number}" for number in range(5)]
    assert {item["metadata"]["name"] for item in s.api.get(where, labelSelector="of!=pages")["items"]}.isdisjoint(
        found
    )


def _events(s: Subject, kind: str, revision: str, count: int, **query: str) -> list[tuple[str, dict[str, Any]]]:
    pieces = s.api.stream(path(s, kind), {"watch": "true", "resourceVersion": revision, **query}, SILENCE)
    events = [json.loads(line) for line in itertools.islice(split_lines(pieces), count)]
    return [(event["type"], event["object"]) for event in events]


def a_watch_tells_every_change_after_its_revision(s: Subject) -> None:
    make(s, "early", labels={"of": "watch"})
    revision = s.api.get(path(s, "configmaps"))["metadata"]["resourceVersion"]
    make(s, "one", labels={"of": "watch"})
    make(s, "two", labels={"of": "watch"})
    make(s, "other")
    s.api.merge(path(s, "configmaps", "one"), {"data": {"a": "2"}})
    s.api.merge(path(s, "configmaps", "two"), {"metadata": {"labels": {"of": "others"}}})
    s.api.delete(path(s, "configmaps", "one"))
    events = _events(s, "configmaps", revision, 5, labelSelector="of=watch")
    assert [(kind, obj["metadata"]["name"]) for kind, obj in events] == [
        ("ADDED", "one"), ("ADDED", "two"), ("MODIFIED", "one"), ("DELETED", "two"), ("DELETED", "one"),
    ]  # fmt: skip
    revisions = [int(obj["metadata"]["resourceVersion"]) for _, obj in events]
    assert revisions == sorted(revisions) and revisions[0] > int(revision)
    again = _events(s, "configmaps", str(revisions[1]), 1, labelSelector="of=watch")
    assert [(kind, obj["metadata"]["name"]) for kind, obj in again] == [("MODIFIED", "one")]


def _log(s: Subject, name: str, **query: str) -> list[str]:
    pieces = s.api.stream(path(s, "pods", f"{name}/log"), {"container": "trial", **query}, SILENCE)
    return [line.decode() for line in split_lines(pieces, tail=True)]


def _pod(s: Subject, name: str) -> dict[str, Any]:
    return s.api.get(path(s, "pods", name))


def _ended(s: Subject, name: str) -> dict[str, Any]:
    s.until(lambda: _pod(s, name)["status"]["phase"] in ("Succeeded", "Failed"))
    return _pod(s, name)


def a_pods_log_begins_at_whole_seconds(s: Subject) -> None:
    s.run("talks", Program(("one", "two", "three"), 3))
    pod = _ended(s, "talks")
    (container,) = pod["status"]["containerStatuses"]
    assert pod["status"]["phase"] == "Failed" and container["state"]["terminated"]["exitCode"] == 3
    assert _log(s, "talks") == ["one", "two", "three"]
    assert _log(s, "talks", tailLines="1") == ["three"] and _log(s, "talks", limitBytes="5") == ["one", "t"]
    stamped = _log(s, "talks", timestamps="true")
    stamps = [line.partition(" ")[0] for line in stamped]
    assert stamps == sorted(stamps) and {len(stamp) for stamp in stamps} == {len("2026-01-01T00:00:00.123456789Z")}
    # The fraction is not looked at: lines of the same second come again.
    assert _log(s, "talks", timestamps="true", sinceTime=stamps[0]) == stamped
    assert _log(s, "talks", sinceTime="2100-01-01T00:00:00Z") == []
    assert refusal(_log, s, "nobody") == (404, "NotFound")
    with pytest.raises(Refused):
        list(s.api.stream(path(s, "pods", "talks/log"), {"container": "nope"}, SILENCE))


def a_pod_is_stopped_by_its_deadline_and_keeps_its_log(s: Subject) -> None:
    s.run("hangs", Program(("one",), None))
    s.until(lambda: _pod(s, "hangs")["status"]["phase"] == "Running" and _log(s, "hangs") == ["one"])
    where = path(s, "pods", "hangs")
    s.api.merge(where, {"spec": {"activeDeadlineSeconds": 1}})
    for wrong in (0, 5):
        assert refusal(s.api.merge, where, {"spec": {"activeDeadlineSeconds": wrong}}) == (422, "Invalid")
    assert refusal(s.api.merge, where, {"spec": {"hostname": "x"}}) == (422, "Invalid")
    pod = _ended(s, "hangs")
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert _log(s, "hangs") == ["one"]


def a_deleted_pod_has_its_grace_and_then_is_gone(s: Subject) -> None:
    s.run("hangs", Program(("one",), None))
    s.until(lambda: _pod(s, "hangs")["status"]["phase"] == "Running")
    s.api.delete(path(s, "pods", "hangs"), uid=_pod(s, "hangs")["metadata"]["uid"])
    s.until(lambda: gone(s, path(s, "pods", "hangs")))
    s.run("over", Program())
    _ended(s, "over")
    s.api.delete(path(s, "pods", "over"))
    s.until(lambda: gone(s, path(s, "pods", "over")))


def an_evicted_pod_says_so(s: Subject) -> None:
    s.run("hangs", Program(("one",), None), finalizers=["kubetuna.dev/test"])
    s.until(lambda: _pod(s, "hangs")["status"]["phase"] == "Running")
    where = path(s, "pods", "hangs")
    s.api.create(
        f"{where}/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "hangs"}}
    )
    pod = _ended(s, "hangs")
    assert pod["metadata"]["deletionTimestamp"]
    assert ("DisruptionTarget", "True", "EvictionByEvictionAPI") in [
        (c["type"], c["status"], c.get("reason")) for c in pod["status"]["conditions"]
    ]
    s.api.merge(where, {"metadata": {"finalizers": []}})
    s.until(lambda: gone(s, where))


def _job(s: Subject, name: str, program: Program) -> dict[str, Any]:
    spec = {"backoffLimit": 0, "template": {"metadata": {"labels": {"a": "b"}}, "spec": s.template(program)}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def _condition(s: Subject, name: str) -> str | None:
    conditions = (s.api.get(path(s, "jobs", name)).get("status") or {}).get("conditions") or []
    return next(
        (c["type"] for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"), None
    )


def a_job_makes_its_pod_and_takes_it_along(s: Subject) -> None:
    made = s.api.create(path(s, "jobs"), _job(s, "work", Program()))
    s.api.create(path(s, "jobs"), _job(s, "vain", Program((), 1)))
    assert s.until(lambda: _condition(s, "work")) == "Complete"
    assert s.until(lambda: _condition(s, "vain")) == "Failed"
    pods = s.api.get(path(s, "pods"), labelSelector="a=b,job-name=work")["items"]
    assert [p["metadata"]["ownerReferences"][0]["uid"] for p in pods] == [made["metadata"]["uid"]]
    s.api.delete(path(s, "jobs", "work"), uid=made["metadata"]["uid"], propagationPolicy="Background")
    s.until(lambda: gone(s, path(s, "pods", pods[0]["metadata"]["name"])))


def a_lease_is_taken_by_one(s: Subject) -> None:
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "one"}}
    made = s.api.create(path(s, "leases"), {**body, "spec": {"holderIdentity": "me"}})
    where = path(s, "leases", "one")
    s.api.replace(where, {**made, "spec": {"holderIdentity": "you"}})
    assert refusal(s.api.replace, where, {**made, "spec": {"holderIdentity": "me"}}) == (409, "Conflict")
    s.api.delete(where)
    assert refusal(s.api.replace, where, made)[0] in (404, 409)


def a_full_quota_keeps_pods_out(s: Subject) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    s.api.create(path(s, "resourcequotas"), quota)

    def refused() -> bool:
        # A quota counts only once its controller has looked at it.
        pod = {"metadata": {"name": "one"}, "spec": s.template(Program())}
        try:
            s.api.create(path(s, "pods"), pod, dryRun="All")
        except Refused as error:
            return error.code == 403 and "exceeded quota" in error.message
        return False

    s.until(refused)


SCRIPTS: tuple[Callable[[Subject], None], ...] = (
    names_are_taken_once_and_absence_is_told,
    deletes_carry_their_preconditions,
    a_dry_run_leaves_nothing,
    a_write_on_old_knowledge_is_refused,
    a_patch_of_another_object_is_refused,
    a_merge_patch_sets_removes_and_keeps,
    what_a_manager_leaves_out_goes_and_what_others_applied_stays,
    a_status_is_apart_and_only_the_spec_is_a_generation,
    a_status_heeds_a_revision_and_no_uid,
    finalizers_hold_an_object_until_the_last_is_gone,
    dependents_go_with_their_owner,
    an_owner_that_is_deleted_in_the_foreground_goes_last,
    the_last_wish_how_to_delete_counts,
    pages_show_one_moment,
    a_watch_tells_every_change_after_its_revision,
    a_pods_log_begins_at_whole_seconds,
    a_pod_is_stopped_by_its_deadline_and_keeps_its_log,
    a_deleted_pod_has_its_grace_and_then_is_gone,
    an_evicted_pod_says_so,
    a_job_makes_its_pod_and_takes_it_along,
    a_lease_is_taken_by_one,
    a_full_quota_keeps_pods_out,
)
