"""What is handed in: the starter kit's own layout, and the same trades in a process that has none of our code."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kubetuna_trial.task1 import contest
from kubetuna_trial.task1.agents import COMPAT_KINDS, KINDS, Kind, action_values, network
from kubetuna_trial.task1.artifacts import write_artifacts
from kubetuna_trial.task1.cli import main
from kubetuna_trial.task1.ensemble import load_ensemble
from kubetuna_trial.task1.evaluation import ensemble_policy, judge
from kubetuna_trial.task1.planted import FACTORS_FILE, PRICES_FILE, SNR, write_contest_files
from tests.trial.alone import alone
from tests.trial.task1.worlds import data, plan, trial

ROWS = 20_000
AGENTS = {
    "n_ensemble_agents": 4,
    "agent_0": "D3QN",
    "agent_1": "TwinD3QN",
    "agent_2": "DoubleDQN",
    "agent_3": "D3QN",
}


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An ensemble that holds each kind of agent and one twice, as a trial leaves it and as it is handed in."""
    made = trial(plan(step_gap=2, max_position=2, **AGENTS))
    assert made.run(lambda report: None, lambda: False)
    model, folder = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("kit")
    write_artifacts(model, made, data(), {}, np.zeros(1))
    assert main(["export", "--model", str(model), "--out", str(folder)]) == 0
    return model, folder


def test_a_process_without_us_makes_our_trades(handed_in: tuple[Path, Path], tmp_path: Path) -> None:
    model, folder = handed_in
    write_contest_files(tmp_path, ROWS, 7, SNR)
    span, market = data().validation, trial(plan())
    words = ["--prices", str(tmp_path / PRICES_FILE), "--factors", str(tmp_path / FACTORS_FILE)]
    words += ["--rows", f"{span.start}:{span.stop}", "--trades", str(tmp_path / "trades.csv")]
    told = json.loads(alone(str(folder / "task1_trade.py"), *words))
    ensemble = load_ensemble(model)
    policy = ensemble_policy(ensemble.nets, market.tape)
    own = judge(policy, ensemble.gap, ensemble.units, market.tape, market.protocol)
    assert told["total_return"] == pytest.approx(own.performance.total_return, rel=1e-9)
    assert told["sharpe_ratio"] == pytest.approx(own.performance.sharpe_ratio, rel=1e-9)
    with (tmp_path / "trades.csv").open() as file:
        trades = [(int(row["row"]), int(row["position"])) for row in csv.DictReader(file)]
    changes = np.diff([0, *(position for _, position in trades)])
    assert len(trades) == told["trades"] > 10 and np.abs(changes).sum() == own.turnover * ensemble.units
    assert all(span.start < row < span.stop for row, _ in trades)


def test_the_layout_is_the_kits(handed_in: tuple[Path, Path]) -> None:
    _, folder = handed_in
    found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.*") if p.suffix != ".pyc" and p.is_file())
    agents = [f"trained_agents/Agent{name}/act.pth" for name in ("D3QN", "D3QN_2", "DoubleDQN", "TwinD3QN")]
    assert found == sorted([*agents, "README.md", "config.json", "erl_net.py", "task1_trade.py"])
    config = json.loads((folder / "config.json").read_text())
    assert config["env_args"]["step_gap"] == 2 and config["env_args"]["max_position"] == 2
    assert [agent["network"] for agent in config["agents"]] == [
        "QNetTwinDuel",
        "QNetTwin",
        "QNetTwin",
        "QNetTwinDuel",
    ]


def test_an_agent_is_an_instance_of_the_kits_class_with_the_kits_names(handed_in: tuple[Path, Path]) -> None:
    """The kit puts what it loads in the place of a network that it made with ``net_dims``: the two must agree."""
    _, folder = handed_in
    for agent in json.loads((folder / "config.json").read_text())["agents"]:
        with contest._kit() as kit:
            loaded = torch.load(folder / agent["folder"] / "act.pth", weights_only=False)
            fresh = getattr(kit, agent["network"])(agent["net_dims"], 10, 3)
        assert type(loaded).__name__ == agent["network"] and type(loaded).__module__ == "erl_net"
        shapes = {name: value.shape for name, value in loaded.state_dict().items()}
        assert shapes == {name: value.shape for name, value in fresh.state_dict().items()}


@pytest.mark.parametrize("kind", [*KINDS.values(), *COMPAT_KINDS.values(), Kind(True, 2)])
def test_the_kits_network_values_actions_as_ours_does(kind: Kind) -> None:
    torch.manual_seed(3)
    net = network(kind, 6, (16, 24, 8))
    for layer in net.parameters():
        torch.nn.init.normal_(layer)
    mean, deviation = np.array([0.5, -2.0, 0.0, 1e-3]), np.array([0.1, 3.0, 1.0, 1e-4])
    plain = kind.heads == 1
    agent = {
        "network": "QNetTwinDuel" if plain and kind.dueling else "QNetTwin",
        "net_dims": [12, 16, 24, 8, *([8] if plain else [9, 9])],
    }
    raw = torch.from_numpy(mean) + torch.from_numpy(deviation) * torch.randn(500, 4).double() * 4
    own = torch.rand(500, 2) * 2 - 1
    scaled = ((raw - torch.from_numpy(mean)) / torch.from_numpy(deviation)).clamp(-5, 5).float()
    assert bool((scaled.abs() == 5).any()), "some lie beyond what is clipped"
    with contest._kit() as kit, torch.no_grad():
        found = contest._translated(kit, agent, net, mean, deviation)(torch.cat([own, raw.float()], dim=1))
        wanted = action_values(net, torch.cat([own, scaled], dim=1))
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))
    assert float((found.argmax(dim=1) == wanted.argmax(dim=1)).float().mean()) > 0.99
