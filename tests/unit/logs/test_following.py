"""What a trial writes into files, followed: every byte and every report once, whatever else the files hold."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetuna.metrics import following
from kubetuna.metrics.following import EventFiles, FileTail, metrics_of, report
from tests.event_files import block, event, record, simple, tensor, varint, whole

FILE = "events.out.tfevents.1"
SCALARS = {
    "PyTorch's": (simple(0.9), 0.9),
    "a float": (tensor(1, struct.pack("<f", -1e-3)), -1e-3),
    "a double": (tensor(2, struct.pack("<d", 0.1)), 0.1),
    "an int": (tensor(3, struct.pack("<i", -3)), -3.0),
    "a long": (tensor(9, struct.pack("<q", 7)), 7.0),
    "a half": (tensor(19, struct.pack("<e", 0.5)), 0.5),
    "a float in a list": (block(8, whole(1, 1) + block(5, struct.pack("<f", 0.25))), 0.25),
    "a float in a field": (block(8, whole(1, 1) + varint(5 << 3 | 5) + struct.pack("<f", 0.25)), 0.25),
    "an int in a list": (block(8, whole(1, 3) + block(7, varint(5))), 5.0),
    "an int below zero": (block(8, whole(1, 3) + whole(7, 2**64 - 5)), -5.0),
}
NO_SCALARS = {
    "two floats": tensor(1, struct.pack("<ff", 1, 2)),
    "a text": tensor(7, b"0.5"),
    "a type that is unknown": tensor(99, b"1234"),
    "a picture": block(4, b"png"),
    "nothing": b"",
}


def said(*records: bytes, folder: str = "", metrics: tuple[str, ...] = ("loss",)) -> list[dict[str, float]]:
    return [json.loads(line) for one in records if (line := report(one, folder, metrics))]


@pytest.mark.parametrize(("value", "number"), SCALARS.values(), ids=SCALARS)
def test_a_scalar_is_read(value: bytes, number: float) -> None:
    assert said(event(3, ("loss", value))) == [{"step": 3, "loss": number}]


@pytest.mark.parametrize("value", NO_SCALARS.values(), ids=NO_SCALARS)
def test_what_is_no_scalar_is_passed_over(value: bytes) -> None:
    assert said(event(3, ("loss", value), ("other", simple(1.0)))) == []


def test_what_is_not_finite_is_no_number_to_the_reader() -> None:
    assert b"NaN" in report(event(1, ("loss", simple(float("nan")))), "", ["loss"])


@pytest.mark.parametrize(
    ("tag", "folder", "metric"),
    [
        ("loss", "", "loss"),
        ("loss", "train", "loss"),
        ("train/loss", "", "train/loss"),
        ("loss", "train", "train/loss"),
        ("loss", "run/train", "train/loss"),
        ("loss_1", "train", "train/loss"),
        ("loss_1", "", "loss"),
    ],
)
def test_a_tag_is_its_metric(tag: str, folder: str, metric: str) -> None:
    assert list(metrics_of(tag, folder, [metric, "other", "train/other"])) == [metric]


@pytest.mark.parametrize(
    ("tag", "folder", "metric"),
    [
        ("loss", "test", "train/loss"),
        ("losses", "", "loss"),
        ("loss_a", "", "loss"),
        ("loss", "untrain", "train/loss"),
    ],
)
def test_another_tag_is_not(tag: str, folder: str, metric: str) -> None:
    assert not list(metrics_of(tag, folder, [metric]))


def test_a_tag_may_be_several_metrics() -> None:
    assert list(metrics_of("loss", "train", ["loss", "train/loss", "test/loss"])) == ["loss", "train/loss"]
    assert list(metrics_of("loss_1", "", ["loss", "loss_1"])) == ["loss_1"]


def test_event_files_are_read_on_from_where_reading_stopped(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    path = tmp_path / "train" / FILE
    first, second = (record(event(s, ("loss", simple(float(s))))) for s in (1, 2))
    big = record(b"\x00" * (following.RECORD_LIMIT + 1))
    path.write_bytes(record(b"brain.Event:2") + big + first + second[:20])
    (tmp_path / "notes").write_text("no events")
    files = EventFiles(str(tmp_path), ["loss"], {})
    assert [json.loads(line) for line in files.read()] == [{"step": 1, "loss": 1.0}] and files.read() == []
    path.write_bytes(path.read_bytes() + second[20:])
    again = EventFiles(str(tmp_path), ["loss"], json.loads(json.dumps(files.offsets)))
    assert [json.loads(line) for line in again.read()] == [{"step": 2, "loss": 2.0}]


def test_reports_behind_many_records_without_any_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "RECORDS", 5)
    none = record(event(0, ("other", simple(1.0))))
    (tmp_path / FILE).write_bytes(none * 23 + record(event(1, ("loss", simple(1.0)))))
    assert len(EventFiles(str(tmp_path), ["loss"], {}).read()) == 1


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data: bytes) -> None:
    for one in (
        data,
        block(5, data),
        block(5, block(1, data)),
        event(1, ("loss", data)),
        event(1, ("loss", block(8, data))),
    ):
        line = report(one, "", ["loss"])
        assert not line or isinstance(json.loads(line)["loss"], float)


@given(data=st.binary(max_size=200))
def test_no_file_of_events_does_harm(data: bytes, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("events")
    (folder / FILE).write_bytes(data)
    files = EventFiles(str(folder), ["loss"], {})
    assert files.read() == files.read() == []


def test_a_file_that_is_begun_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = FileTail(str(path))
    assert tail.read() == b""
    path.write_bytes(b"loss=1\nloss=2\n")
    assert (tail.read(), tail.read()) == (b"loss=1\nloss=2\n", b"")
    path.write_bytes(b"loss=3\n")
    assert tail.read() == b"loss=3\n"


def test_what_is_no_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert [FileTail(str(tmp_path / name)).read() for name in ("pipe", "folder")] == [b"", b""]


@pytest.mark.parametrize("kind", ["file", "events"])
def test_the_program_follows_and_reads_to_the_end_once_it_is_told_to_leave(kind: str, tmp_path: Path) -> None:
    """By its text alone, as in a cluster."""
    program = Path(following.__file__).read_text()
    path = tmp_path if kind == "events" else tmp_path / "log"
    command = [sys.executable, "-I", "-S", "-c", program, kind, str(path), "loss"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        file = tmp_path / (FILE if kind == "events" else "log")
        for step in (1, 2):
            line = (
                record(event(step, ("loss", simple(1.0))))
                if kind == "events"
                else b'{"step": %d, "loss": 1.0}\n' % step
            )
            with file.open("ab") as out:
                out.write(line)
            if step == 1:
                assert json.loads(process.stdout.readline()) == {"step": 1, "loss": 1.0}
        process.send_signal(signal.SIGTERM)
        assert json.loads(process.stdout.read()) == {"step": 2, "loss": 1.0}
        assert process.wait() == 0
