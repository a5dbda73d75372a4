"""``export``: an ensemble as the contest's starter kit loads it, and a program that trades it without us.

The kit's networks know no clipping of their inputs, no ReLU at the end of the trunk and act by one head alone. All
of that is written in further layers of their own kind: ``min(max(x, -5), 5)`` is ``relu(x + 5) - relu(x - 5) - 5``,
and of two heads the lower value is ``q1 - relu(q1 - q2)``.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from kubetuna_trial.files import write_whole
from kubetuna_trial.metrics import Floats
from kubetuna_trial.task1.data import CLIP
from kubetuna_trial.task1.ensemble import Ensemble, load_ensemble
from kubetuna_trial.task1.nets import ACTIONS, QNetwork

DESCRIPTION = """\
Write a saved ensemble as the contest's starter kit loads it: trained_agents/AGENT/act.pth with the kit's own
network classes, config.json with its net_dims and env_args, and task1_trade.py, which trades with it and needs
torch and numpy only."""
HERE, AGENTS = Path(__file__).parent, "trained_agents"
COPIED = ("erl_net.py", "task1_trade.py")
README = """\
# An ensemble for task 1

`{agents}/AGENT/act.pth` are the networks of the agents, whole modules of the starter kit's `erl_net`; `config.json`
has their `net_dims` and the environment's arguments. `task1_trade.py` loads them, votes (`act`) and trades.

- A second agent of a class is in `AGENT_2`; the kit's `load_agents` takes a folder a class.
- The kit's `torch.load` of whole modules takes `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1` from torch 2.6 on.
- States are the kit's: position / max_position, holding / max_holding, and the factors as they are in the file. The
  networks scale them.
- A tie of votes goes to the larger sum of advantages; the kit's `_ensemble_action` takes the agent listed first.
"""

Layer = tuple[Tensor, Tensor]


def add_options(parser: ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="folder with ensemble.safetensors")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="write there")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(options: Namespace) -> int:
    """Write, and say what."""
    written = [str(path) for path in write(load_ensemble(options.model), options.out)]
    print(json.dumps({"files": written}) if options.json else "\n".join(written))
    return 0


def write(ensemble: Ensemble, folder: Path) -> Iterator[Path]:
    """Write the files; each appears whole or not at all."""
    agents = [*_agents(ensemble)]
    with _kit() as kit:
        for agent, net in zip(agents, ensemble.nets, strict=True):
            path = folder / agent["folder"] / "act.pth"
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(_translated(kit, agent, net, ensemble.mean, ensemble.deviation), path.with_suffix(".part"))
            yield path.with_suffix(".part").replace(path)
    texts = {name: (HERE / name).read_text("utf-8") for name in COPIED}
    texts |= {"config.json": json.dumps(_config(ensemble, agents), indent=2) + "\n"}
    for name, text in {**texts, "README.md": README.format(agents=AGENTS)}.items():
        write_whole(folder / name, text)
        yield folder / name


def _agents(ensemble: Ensemble) -> Iterator[dict[str, Any]]:
    """Where each agent lies and what it is made of."""
    used: dict[str, Iterator[int]] = {}
    for described, net in zip(ensemble.described["agents"], ensemble.nets, strict=True):
        name = f"Agent{described['name']}"
        number = next(used.setdefault(name, count(1)))
        plain, dims = len(net.heads) == 1, ensemble.described["net_dims"]
        # In front the layer that clips; at the end one whose only purpose is the ReLU before it.
        last = [dims[-1]] if plain else [3 * ACTIONS] * 2
        yield {
            "class": name,
            "folder": f"{AGENTS}/{name}" + (f"_{number}" if number > 1 else ""),
            "network": "QNetTwinDuel" if plain and described["dueling"] else "QNetTwin",
            "net_dims": [2 * (2 + len(ensemble.mean)), *dims, *last],
        }


def _config(ensemble: Ensemble, agents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    described = ensemble.described
    return {
        "agents": list(agents),
        "env_args": {
            "env_name": "TradeSimulator-v0",
            "num_envs": 1,
            "num_sims": 1,
            "state_dim": 2 + len(ensemble.mean),
            "action_dim": ACTIONS,
            "if_discrete": True,
            "max_position": ensemble.units,
            "step_gap": ensemble.gap,
            "slippage": described["protocol"]["slippage"],
        },
        "align": (ensemble.origin or {}).get("align", "front"),
        "protocol": described["protocol"],
        "data": described.get("data"),
        "seed": described.get("seed"),
    }


@contextmanager
def _kit() -> Iterator[Any]:
    """The kit's classes under the kit's module name, which is what a saved module refers to."""
    spec = importlib.util.spec_from_file_location("erl_net", HERE / "erl_net.py")
    assert spec is not None and spec.loader is not None
    kit, before = importlib.util.module_from_spec(spec), sys.modules.get("erl_net")
    spec.loader.exec_module(kit)
    sys.modules["erl_net"] = kit
    try:
        yield kit
    finally:
        del sys.modules["erl_net"]
        if before is not None:
            sys.modules["erl_net"] = before


@torch.no_grad()
def _translated(kit: Any, agent: dict[str, Any], net: QNetwork, mean: Floats, deviation: Floats) -> nn.Module:
    first: Any
    made: Any = getattr(kit, agent["network"])(agent["net_dims"], 2 + len(mean), ACTIONS)
    made.state_avg[2:] = torch.from_numpy(mean)
    made.state_std[2:] = torch.from_numpy(deviation)
    layers = [*_clipped([(one.weight, one.bias) for one in net.trunk if isinstance(one, nn.Linear)])]
    first, *others = net.heads
    if others:
        (weight, bias), (rival, its_bias) = _values(first), _values(others[0])
        layers.append((torch.cat([weight, -weight, weight - rival]), torch.cat([bias, -bias, bias - its_bias])))
        heads = {"net_val": (torch.eye(ACTIONS).repeat(1, 3) * _signs(), torch.zeros(ACTIONS))}
    else:
        heads = {"net_val": _layer(first.advantage)}
        heads |= {} if first.value is None else {"net_adv": _layer(first.value)}
    width = len(layers[-1][1])
    _fill(made.net_state, [*layers, (torch.eye(width), torch.zeros(width))])
    for name, layer in heads.items():
        for number in (1, 2):
            _fill(getattr(made, f"{name}{number}"), [layer])
    return cast(nn.Module, made)


def _clipped(trunk: Sequence[Layer]) -> Iterator[Layer]:
    """The trunk's layers, behind one that clips what goes in."""
    (weight, bias), *others = trunk
    each = torch.eye(weight.shape[1])
    yield (
        torch.cat([each, each]),
        torch.cat([each.new_full((len(each),), CLIP), each.new_full((len(each),), -CLIP)]),
    )
    yield torch.cat([weight, -weight], dim=1), bias - CLIP * weight.sum(dim=1)
    yield from others


def _signs() -> Tensor:
    """The lower of two values from max(q1, 0), max(-q1, 0) and max(q1 - q2, 0)."""
    return torch.tensor([1.0, -1.0, -1.0]).repeat_interleave(ACTIONS)


def _values(head: Any) -> Layer:
    """A head as one layer: a dueling one is linear too."""
    weight, bias = _layer(head.advantage)
    if head.value is None:
        return weight, bias
    level, base = _layer(head.value)
    return weight - weight.mean(dim=0) + level, bias - bias.mean() + base


def _layer(layer: nn.Linear) -> Layer:
    return layer.weight.detach(), layer.bias.detach()


def _fill(chain: nn.Sequential, layers: Sequence[Layer]) -> None:
    linear = [one for one in chain if isinstance(one, nn.Linear)]
    for one, (weight, bias) in zip(linear, layers, strict=True):
        one.weight.copy_(weight)
        one.bias.copy_(bias)
