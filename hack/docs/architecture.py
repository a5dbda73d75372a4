"""Draw the layers of the core and the operator, and the path of a trial through them, from ``.importlinter``.

    python hack/docs/architecture.py

Writes the picture and the tables of packages in the page that shows it. Both come from the import contracts and the
packages' docstrings, so they cannot differ from the code; a test compares them.
"""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

PROJECT = Path(__file__).resolve().parents[2]
PICTURE = PROJECT / "docs" / "images" / "architecture.svg"
PAGE = PROJECT / "docs" / "explanation" / "architecture.md"
SOURCES = {"core": PROJECT / "core" / "kubetuna", "operator": PROJECT / "operator" / "kubetuna_operator"}

# The path of a trial: what happens, and the rooms in which it does.
PATH = (
    ("the YAML becomes an Experiment", ("core.parsing",)),
    ("the plan names what to do next", ("core.planning",)),
    ("the sampler's parameters are stored", ("core.study", "core.search", "core.store")),
    ("an executor starts a process or Pod", ("core.local", "operator.workloads")),
    ("its log lines become metrics", ("core.metrics",)),
    ("values and outcome are stored", ("core.study", "core.trials")),
    ("status and report show the study", ("core.terminal", "core.analysis", "operator.experiment")),
)

# Pixels.
ROW, BOX, GAP, TOP, LEFT = 44, 34, 10, 66, 20
COLUMNS = {"core": (LEFT, 560), "operator": (LEFT + 600, 320)}
WIDTH, CHIP = 960, 227


def layers(part: str) -> list[list[str]]:
    """The layers of the core or the operator, the highest first, each with its rooms."""
    contracts = configparser.ConfigParser()
    contracts.read(PROJECT / ".importlinter", encoding="utf-8")
    rows = contracts[f"importlinter:contract:{part}-layers"]["layers"].split("\n")
    return [[room.strip() for room in row.split("|")] for row in rows if row.strip()]


def picture() -> str:
    """The picture as SVG."""
    below = TOP + ROW * max(len(layers(part)) for part in COLUMNS) + 20
    shapes = [shape for part in COLUMNS for shape in (*_heading(part), *_column(part))]
    title = "<title>Layers, and the path of a trial</title>"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {below + 96}" font-family="sans-serif">'
    ground = '<rect width="100%" height="100%" rx="8" fill="#fff"/>'
    return "\n".join([head, title, ground, *shapes, *_path(below), "</svg>\n"])


def _heading(part: str) -> Iterator[str]:
    yield _text(COLUMNS[part][0], 30, part, 'font-size="18" font-weight="bold"')
    yield _text(COLUMNS[part][0], 50, f"{SOURCES[part].name}: each layer imports only from below", 'font-size="12"')


def _column(part: str) -> Iterator[str]:
    left, width = COLUMNS[part]
    for row, rooms in enumerate(layers(part)):
        each = (width - GAP * (len(rooms) - 1)) / len(rooms)
        for at, room in enumerate(rooms):
            yield from _room(part, room, left + at * (each + GAP), TOP + row * ROW, each)


def _room(part: str, room: str, x: float, y: float, width: float) -> Iterator[str]:
    steps = [number for number, (_, rooms) in enumerate(PATH, 1) if f"{part}.{room}" in rooms]
    fill = "#dcebfa" if steps else "#f3f3f3"
    yield f'<rect x="{x:g}" y="{y}" width="{width:g}" height="{BOX}" rx="5" fill="{fill}" stroke="#8a99a8"/>'
    yield _text(x + width / 2, y + 22, room, 'font-size="14" text-anchor="middle"')
    for at, number in enumerate(steps):
        yield from _badge(x + 18 + 24 * at, y + BOX / 2, number)


def _badge(x: float, y: float, number: int) -> Iterator[str]:
    yield f'<circle cx="{x:g}" cy="{y:g}" r="10" fill="#0b5394"/>'
    yield _text(x, y + 4.5, str(number), 'font-size="12" font-weight="bold" text-anchor="middle"', "#fff")


def _path(top: int) -> Iterator[str]:
    yield _text(LEFT, top, "The path of a trial", 'font-size="14" font-weight="bold"')
    for at, (words, _) in enumerate(PATH):
        x, y = LEFT + 12 + at % 4 * (CHIP + 6), top + 26 + at // 4 * 30
        yield from _badge(x, y, at + 1)
        yield _text(x + 16, y + 4, words, 'font-size="12"')


def _text(x: float, y: float, words: str, style: str, colour: str = "#1c2733") -> str:
    return f'<text x="{x:g}" y="{y:g}" {style} fill="{colour}">{escape(words)}</text>'


def page() -> str:
    """The page with its tables of packages, everything else as it stands."""
    text = PAGE.read_text(encoding="utf-8")
    for part in SOURCES:
        start, end = f"<!-- packages of the {part} -->\n\n", "\n<!-- end -->"
        before, _, after = text.partition(start)
        text = f"{before}{start}{table(part)}\n{end}{after.partition(end)[2]}"
    return text


def table(part: str) -> str:
    """One row for each room: its name, and its docstring's first paragraph."""
    rows = [f"| `{room}` | {duty(SOURCES[part], room)} |" for row in layers(part) for room in row]
    return "\n".join(["| package | what it is for |", "|---|---|", *rows])


def duty(package: Path, room: str) -> str:
    """What a room's docstring says in its first paragraph."""
    module = package / f"{room}.py"
    source = module if module.exists() else package / room / "__init__.py"
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
