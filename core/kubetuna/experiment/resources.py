"""What a trial costs per second: the accelerators that its template asks for, or one slot; and what that is called.

Accelerators are known by name. Any other extended resource costs nothing: a cluster gives network cards, licences
and memory in MiB such names too, and what is no accelerator would end a budget of GPU-hours early. A trial without
a known one costs a slot, so that its budget ends all the same. What a DRA claim gives stands in another object,
which a cluster's operator reads where it may. Where nobody has, each is one accelerator unless the template names
some itself: then the claim is for what goes beside them.
A device class that stands as a resource (``deviceclass.resource.kubernetes.io/gpu.nvidia.com: 2``) says it all.
What no template tells, ``budget.acceleratorsPerTrial`` does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from kubetuna.experiment.kinds import kind_of
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.units import GPU, SLOT, Unit

# In lower case. Whole names where a vendor also counts parts of a device so: gpu.intel.com/millicores,
# nvidia.com/gpumem, aliyun.com/gpu-mem, koordinator.sh/gpu (per cent). The first row holds for every domain, since
# clusters rename; NVIDIA's plugin can name a device by its model (nvidia.com/a100, nvidia.com/gpu-h100).
ACCELERATORS = (
    *("*/gpu", "*/?gpu", "*/*-gpu", "*/gpu.shared", "*/mig-*", "*/tpu", "*/npu"),
    *("nvidia.com/gpu-*", "nvidia.com/[abhlptv][0-9]*", "nvidia.com/g[bh][0-9]*"),
    *("amd.com/?px_*", "gpu.intel.com/i915", "gpu.intel.com/xe", "habana.ai/gaudi*", "aws.amazon.com/neuron*"),
    *("cambricon.com/mlu*", "cambricon.com/vmlu", "enflame.com/gcu", "enflame.com/vgcu", "graphcore.ai/ipu"),
    *("huawei.com/ascend*", "hygon.com/dcu", "hygon.com/dcunum"),
    *("cloud-tpus.google.com/*", "furiosa.ai/rngd*", "rebellions.ai/atom*"),
    *("kunlunxin.com/xpu", "qualcomm.com/qaic*", "tenstorrent.com/*", "volcano.sh/*gpu-number"),
)
# Of DRA, by the names that the vendors' drivers give them; network cards have classes too.
_DEVICE_CLASS = "deviceclass.resource.kubernetes.io"
DEVICE_CLASSES = ("gpu.*", "*.gpu.*", "*-gpu", "*-gpu.*", "mig.*", "tpu.*", "npu.*", "gaudi.*", "neuron.*")
# Parts of a device: its memory and cores, mostly in MiB and per cent.
_PARTS = re.compile(r"[-.]v?(mem(ory)?|core)s?([-.]percentage)?$|^koordinator\.sh/gpu$", re.IGNORECASE)
GRACE_SECONDS = 30.0
_LOCAL = re.compile(r"/(.*gpu|mig[-.])", re.IGNORECASE)


def pod_spec(trial_spec: Mapping[str, Any], container: str = "") -> Mapping[str, Any]:
    """The primary Pod's spec inside a template; its main container tells it from others."""
    template: Mapping[str, Any] = kind_of(trial_spec).template_in(trial_spec, container) or {}
    return template.get("spec") or {}


def primary_of(trial_spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The container of a template whose command is the trial."""
    containers = pod_spec(trial_spec, name).get("containers") or [{}]
    result: Mapping[str, Any] = next((c for c in containers if c.get("name") == name), containers[0])
    return result


def grace_seconds(trial_spec: Mapping[str, Any]) -> float:
    """How long an attempt may take to end after SIGTERM: as its Pod's spec says, else Kubernetes' default."""
    asked = pod_spec(trial_spec).get("terminationGracePeriodSeconds")
    return float(asked) if isinstance(asked, int | float) and asked >= 0 else GRACE_SECONDS


def attempt_timeout(spec: Experiment) -> float | None:
    """For how many seconds an attempt may run: the budget's limit, or that of the template where it is less."""
    own = kind_of(spec.template.trial_spec).timeout(spec.template.trial_spec)
    return min((limit for limit in (spec.budget.trial_timeout, own) if limit is not None), default=None)


def pods_per_trial(spec: Experiment) -> int:
    """How many Pods an attempt has at once in a cluster."""
    return kind_of(spec.template.trial_spec).pods(spec.template.trial_spec)


def _pods(spec: Experiment) -> Iterator[tuple[Mapping[str, Any], int]]:
    """The spec of each kind of Pod that an attempt has, and how many it has of that."""
    for one in kind_of(spec.template.trial_spec).pod_sets(spec.template.trial_spec):
        yield one.template.get("spec") or {}, one.count


def accelerators(spec: Experiment) -> dict[str, int]:
    """How many of each accelerator, or slice of one, a trial's Pods hold at most, by the resource's name."""
    total = Counter[str]()
    for pod, count in _pods(spec):
        total += Counter({name: held * count for name, held in _of_pod(pod).items()})
    return dict(total)


def _of_pod(pod: Mapping[str, Any]) -> Counter[str]:
    """As the scheduler counts: init containers run one after another before the others, but those that always
    restart go on beside all that come later.
    """
    most, held = Counter[str](), Counter[str]()
    for container in pod.get("initContainers") or ():
        asked = _asked(container)
        most |= held + asked
        if container.get("restartPolicy") == "Always":
            held += asked
    return most | held + _of_containers(pod)


def _of_containers(pod: Mapping[str, Any]) -> Counter[str]:
    return sum(map(_asked, pod.get("containers") or ()), Counter[str]())


def _asked(container: Mapping[str, Any]) -> Counter[str]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    return Counter({name: int(count) for name, count in asked.items() if is_accelerator(str(name))})


def is_accelerator(name: str) -> bool:
    """Whether a resource of this name is a device that hours are counted of, or a slice of one."""
    domain, _, device = name.lower().partition("/")
    patterns = DEVICE_CLASSES if domain == _DEVICE_CLASS else ACCELERATORS
    wanted = device if domain == _DEVICE_CLASS else name.lower()
    return _matches(wanted, patterns) and not _PARTS.search(name)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern) for pattern in patterns)


def _devices(spec: Experiment) -> int:
    if spec.budget.accelerators is not None:
        return spec.budget.accelerators
    named = sum(accelerators(spec).values())
    return named + spec.claimed if spec.claimed is not None else named or len(_claims(spec))


def _claims(spec: Experiment) -> list[Mapping[str, Any]]:
    """Those of all Pods of an attempt, as often as they are made."""
    return [
        claim for pod, count in _pods(spec) for claim in (pod.get("resourceClaims") or ()) for _ in range(count)
    ]


def uncounted_claims(spec: Experiment) -> int:
    """How many claims each count as one accelerator, since nothing here says what they give."""
    known = spec.claimed is not None or spec.budget.accelerators is not None or accelerators(spec)
    return 0 if known else len(_claims(spec))


def unknown_devices(spec: Experiment) -> list[str]:
    """The extended resources of a trial's containers, where none of them is known as an accelerator."""
    if spec.budget.accelerators is not None or _devices(spec):
        return []
    every = (c.get("resources") or {} for pod, _ in _pods(spec) for c in pod.get("containers") or ())
    asked = [{**(one.get("requests") or {}), **(one.get("limits") or {})} for one in every]
    names = {str(name) for resources in asked for name, held in resources.items() if str(held) != "0"}
    return sorted(name for name in names if "/" in name)


def claim_templates(spec: Experiment) -> tuple[str, ...]:
    """The names of the templates of a trial's claims, as often as they are claimed.

    None where a claim has another source: one that exists is shared by all trials, and whose it is nobody can tell.
    """
    names = [str(claim.get("resourceClaimTemplateName") or "") for claim in _claims(spec)]
    return tuple(names) if all(names) else ()


def claimed_by(template: Mapping[str, Any]) -> int:
    """How many accelerators a claim made from a ResourceClaimTemplate holds, in any version of that API.

    Of alternatives the largest counts. A request for all devices of a node counts as one.
    """
    devices = ((template.get("spec") or {}).get("spec") or {}).get("devices") or {}
    return sum(max(map(_requested, _alternatives(one)), default=0) for one in devices.get("requests") or ())


def _alternatives(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    first: list[Mapping[str, Any]] = request.get("firstAvailable") or []
    return first or [request.get("exactly") or request]


def _requested(request: Mapping[str, Any]) -> int:
    counts = _matches(str(request.get("deviceClassName")), DEVICE_CLASSES) and not request.get("adminAccess")
    return int(request.get("count") or 1) if counts else 0


def resource_units(spec: Experiment) -> float:
    """Units a running attempt spends each second; 1.0 (a slot) where no accelerator is asked for."""
    return float(_devices(spec)) or 1.0


def resource_unit(spec: Experiment) -> Unit:
    """What those units are."""
    return GPU if _devices(spec) else SLOT


def gpus(spec: Experiment) -> int:
    """How many GPUs, or slices of one, of this machine a trial asks for, by whatever name a cluster gives them.

    Only the primary Pod's command runs here. Init containers do not run on one machine.
    """
    asked = _of_containers(pod_spec(spec.template.trial_spec, spec.template.primary_container))
    return sum(count for name, count in asked.items() if _LOCAL.search(name))
