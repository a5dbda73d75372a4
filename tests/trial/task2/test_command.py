"""The command line: what scripts rely on, and bad input in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from kubetuna_trial.task2 import cli
from kubetuna_trial.task2.cli import main
from kubetuna_trial.task2.planted import write_contest_files

METRICS = {"cumulative_return", "mean_reward", "sharpe_ratio", "max_drawdown", "hit_rate"}
BESIDE = {
    "bag_of_words_return",
    "untuned_hit_rate",
    "untuned_return",
    "random_hit_rate",
    "random_return",
    "buy_and_hold_return",
    "flat_return",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_contest_files(folder, 3, False, 120)
    return folder


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A short training by the command: its output folder and what it printed."""
    out = tmp_path_factory.mktemp("out")
    command = [sys.executable, "-m", "kubetuna_trial.task2", "--data", str(data), "--out", str(out),
               "--seed", "1", "--max-train-steps", "6", "--reports", "3", "--signal-strength", "7",
               "--use-4bit", "true"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "report 3 of 3" in done.stderr and "Warning" not in done.stderr
    return out, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_first_line_names_protocol_data_model_and_form_of_the_weights(
    finished: tuple[Path, list[dict[str, Any]]],
) -> None:
    first = finished[1][0]
    assert first["weights"] == "bitsandbytes nf4" and first["model"].startswith("tiny-")
    assert len(first["protocol"]) == 16 and first["device"] == "cpu" and "task2_stocks_train.csv" in first["data"]


def test_reports_come_in_order_and_the_last_one_has_what_must_be_beaten(
    finished: tuple[Path, list[dict[str, Any]]],
) -> None:
    reports = [line for line in finished[1] if "step" in line]
    assert [r["step"] for r in reports] == [1, 2, 3]
    assert set(reports[0]) == {"step", *METRICS} and set(reports[-1]) == {"step", *METRICS, *BESIDE}


def test_the_series_and_the_files_say_the_same(finished: tuple[Path, list[dict[str, Any]]]) -> None:
    out, lines = finished
    printed = [value for line in lines if line.get("series") == "returns" for value in line["values"]]
    rows = (out / "returns.csv").read_text().splitlines()
    assert rows[0] == "date,return"
    assert printed == pytest.approx([float(row.split(",")[1]) for row in rows[1:]], rel=1e-6, abs=1e-12)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics == {k: v for k, v in lines[-1].items() if k != "step"}
    total = 1.0
    for value in printed:
        total *= 1 + value
    assert total - 1 == pytest.approx(metrics["cumulative_return"], abs=1e-6)


def test_evaluate_repeats_the_trials_own_judgement(
    finished: tuple[Path, list[dict[str, Any]]], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, lines = finished
    assert main(["evaluate", "--adapter", str(out / "adapter"), "--data", str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["protocol"] == lines[0]["protocol"] and found["split"] == "validation"
    assert found["weights"] == "bitsandbytes nf4"
    last = lines[-1]
    assert found["tuned"] == pytest.approx({name: last[name] for name in METRICS})
    assert found["untuned"]["hit_rate"] == last["untuned_hit_rate"]
    assert found["random"]["hit_rate"] == pytest.approx(last["random_hit_rate"])
    assert found["buy_and_hold"]["cumulative_return"] == last["buy_and_hold_return"]
    assert found["flat"]["cumulative_return"] == 0
    costs = {one["cost"]: one["cumulative_return"] for one in found["costs"]}
    assert costs[0.0005] == found["tuned"]["cumulative_return"], "its own cost among the others"
    assert sorted(costs.values(), reverse=True) == [costs[cost] for cost in sorted(costs)]


def test_evaluate_reads_test_days_on_demand_only(
    finished: tuple[Path, list[dict[str, Any]]], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = str(finished[0] / "adapter")
    assert (
        main(["evaluate", "--adapter", adapter, "--data", str(data), "--split", "test", "--final", "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    dates = (data / "test/task2_stocks_test.csv").read_text().splitlines()[1:]
    assert found["first"] == dates[0].split(",")[0] and found["protocol"] != finished[1][0]["protocol"]
    assert main(["evaluate", "--data", str(data)]) == 0
    told = capsys.readouterr().out
    assert "untuned" in told and "buy and hold" in told and "\ntuned" not in told


def test_own_data_that_have_changed_are_refused(
    finished: tuple[Path, list[dict[str, Any]]], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = Path(shutil.copytree(data, tmp_path / "changed"))
    news = changed / "train/task2_news_train.csv"
    news.write_text("".join(news.read_text().splitlines(keepends=True)[:-1]))
    words = ["evaluate", "--adapter", str(finished[0] / "adapter"), "--own-data", "--final", "--data"]
    for split in ("validation", "test"):
        assert main([*words, str(changed), "--split", split]) == 2
        assert "the data have changed since the adapter was trained" in capsys.readouterr().err
    assert main([*words, str(data), "--split", "test"]) == 0


def test_test_days_among_those_of_train_are_not_judged(
    finished: tuple[Path, list[dict[str, Any]]], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both files as one are longer, and what is called validation then lies in the model's test."""
    for kind in ("stocks", "news"):
        before, after = ((data / f"{part}/task2_{kind}_{part}.csv").read_text() for part in ("train", "test"))
        (tmp_path / f"{kind}.csv").write_text(before + after.partition("\n")[2])
    words = ["evaluate", "--adapter", str(finished[0] / "adapter"), "--data", str(tmp_path), "--split"]
    assert main([*words, "validation"]) == 2
    assert "where its held-out test is" in capsys.readouterr().err


def test_score_gives_scores_and_log_probabilities(
    finished: tuple[Path, list[dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps(["News about AAPL: it soars.\nScore:", "XOM sinks.\nScore:"]))
    command = ["score", "--adapter", str(finished[0] / "adapter"), "--prompts", str(prompts), "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    for one in found:
        logs = one["log_probabilities"]
        assert set(logs) == {str(s) for s in range(-7, 8)} and logs[str(one["score"])] == max(logs.values())
        assert sum(torch.tensor(list(logs.values())).exp().tolist()) == pytest.approx(1, abs=1e-5)
    assert main([*command[:-1], "--model", str(finished[0] / "model"), "--signal-strength", "20"]) == 0
    assert "mean" in capsys.readouterr().out


@pytest.mark.parametrize("text", ['["a", {"prompt": "b"}]', '"a"\n{"prompt": "b"}\n', "a\n\nb\n"])
def test_prompts_may_be_written_in_several_ways(text: str, tmp_path: Path) -> None:
    from kubetuna_trial.task2.score import read_prompts

    path = tmp_path / "prompts"
    path.write_text(text)
    assert read_prompts(path) == ["a", "b"]


def test_data_is_made_with_and_without_a_signal(tmp_path: Path) -> None:
    assert main(["--make-data", str(tmp_path / "a"), "--seed", "4"]) == 0
    assert main(["--make-data", str(tmp_path / "b"), "--seed", "4", "--shuffle-news"]) == 0
    assert main(["--make-data", str(tmp_path / "c"), "--seed", "5"]) == 0
    for part in ("train", "test"):
        prices, texts = f"{part}/task2_stocks_{part}.csv", f"{part}/task2_news_{part}.csv"
        read = {(f, n): (tmp_path / f / n).read_bytes() for f in "abc" for n in (prices, texts)}
        assert read["a", prices] == read["b", prices] != read["c", prices]
        assert read["a", texts] != read["b", texts] and read["a", texts] != read["c", texts]


@pytest.mark.parametrize("verb", [[], ["score"], ["evaluate"]])
def test_help_runs_alone(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*verb, "--help"])
    told = capsys.readouterr().out
    words = ["--model", "--revision"] + (
        [] if verb else ["--learning-rate", "KUBETUNA_PARAMS", "hit_rate", "--make-data"]
    )
    assert left.value.code == 0 and all(word in told for word in words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--stocks", "x.csv"], "belong together"),
        (["--data", "/nowhere/at/all"], "is not a folder"),
        (["--learning-rate", "fast"], "learning_rate: 'fast'"),
        (["--lookahead", "8"], "a whole number from 1 to 7"),
        (["--lora-r", "8.5"], "whole number"),
        (["--use-4bit", "perhaps"], "true or false"),
        (["--quantization-type", "int8"], "nf4, fp4"),
        (["--reports", "0"], "at least 1"),
        (["--samples", "1"], "at least 2"),
        (["--kl", "nan"], "--kl"),
        (["--device", "tpu"], "--device"),
        (["--model", "/nowhere/at/all"], "is not a folder"),
        (["--nonsense"], "--help"),
        (["score"], "--prompts"),
        (["score", "--prompts", "/nowhere"], "cannot be read"),
        (["evaluate", "--adapter", "/nowhere"], "adapter_config.json"),
        (["evaluate", "--split", "test", "--final", "--stocks", "a", "--news", "b"], "--data DIR"),
        (["evaluate", "--split", "test"], "'kubetuna finalize STUDY' scores, once"),
        (["evaluate", "--split", "all"], "invalid choice"),
    ],
)
def test_bad_options_are_told_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr().err.strip()
    assert words in told and len(told.splitlines()) == 1 and told.startswith("error: ")


def test_parameters_come_from_the_environment_and_options_win(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBETUNA_PARAMS", '{"learning_rat": 1}')
    assert main([]) == 2
    assert "did you mean 'learning_rate'" in capsys.readouterr().err
    monkeypatch.setenv("KUBETUNA_PARAMS", '{"lookahead": 3, "use_4bit": false}')
    assert main(["--lookahead", "9"]) == 2
    assert "lookahead: '9'" in capsys.readouterr().err


def test_no_memory_is_an_outcome_with_advice() -> None:
    """A process that may not grow, whatever it tries."""
    program = """if True:
        import resource, sys, peft, transformers
        from kubetuna_trial.task2 import cli
        pages = int(open("/proc/self/statm").read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (4 << 20),) * 2)
        sys.exit(cli.main([]))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and json.loads(done.stdout.splitlines()[-1]) == {"outcome": "OutOfMemory"}
    assert "out of memory" in done.stderr and "use_4bit" in done.stderr and "Traceback" not in done.stderr


def test_training_that_fails_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverged(*_: object) -> int:
        raise FloatingPointError("training diverged")

    monkeypatch.setattr(cli, "_train_or_write", diverged)
    assert main([]) == 1
    assert capsys.readouterr().err == "error: training diverged\n"
