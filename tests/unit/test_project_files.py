"""What no program of ours reads: workflows, templates, hooks and links, which would otherwise break unseen."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.__main__ import GROUPS

pytestmark = pytest.mark.sources

PROJECT = Path(__file__).resolve().parents[2]
GITHUB = PROJECT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
YAML_FILES = [*sorted(GITHUB.rglob("*.yml")), PROJECT / ".pre-commit-config.yaml", PROJECT / "mkdocs.yml"]
PAGES = sorted(PROJECT.glob("*.md")) + sorted((PROJECT / "docs").rglob("*.md"))
IMAGE_LIMIT = 250_000
# Whose coverage `make check` measures, and what their tests make their values with.
PURE = {f"kubetuna.{room}" for room in ("errors", "experiment", "metrics", "parsing", "planning", "trials")}
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
_CODE = re.compile(r"`[^`\n]+`")
_BLOCK = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    """A file's path, for the names of tests."""
    return str(path.relative_to(PROJECT))


def load(path: Path) -> Any:
    """A YAML file's content."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: Any) -> Iterator[Any]:
    """All steps, and the jobs that call another workflow."""
    for job in workflow["jobs"].values():
        yield from job.get("steps", [job])


@functools.cache
def prose(path: Path) -> str:
    """A page without its blocks of code, where headings and links mean nothing."""
    return _BLOCK.sub("", path.read_text(encoding="utf-8"))


@functools.cache
def makefile() -> str:
    """The Makefile's text."""
    return (PROJECT / "Makefile").read_text(encoding="utf-8")


def make_targets() -> set[str]:
    """What `make` knows."""
    return set(re.findall(r"^([a-z][a-z-]*):", makefile(), re.MULTILINE))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as MkDocs and public hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.replace("`", "").lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", YAML_FILES, ids=name)
def test_yaml_files_parse(path: Path) -> None:
    assert load(path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=name)
def test_a_workflow_has_triggers_and_asks_for_its_permissions(path: Path) -> None:
    workflow = load(path)
    # YAML 1.1 reads the key `on` as true.
    assert workflow[True]
    assert workflow["permissions"]["contents"] == "read"
    assert all("runs-on" in job or "uses" in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=name)
def test_actions_are_pinned_to_major_versions_and_called_workflows_exist(path: Path) -> None:
    for used in (step["uses"] for step in steps(load(path)) if "uses" in step):
        if used.startswith("./"):
            assert (PROJECT / used).is_file(), used
        else:
            assert re.fullmatch(r"(actions|docker)/[a-z-]+@v\d+", used), used


@pytest.mark.parametrize("path", WORKFLOWS, ids=name)
def test_make_targets_of_workflows_exist(path: Path) -> None:
    asked = {t for step in steps(load(path)) for t in _MAKE.findall(step.get("run", ""))}
    assert asked <= make_targets()


def test_the_checks_run_every_group_of_cluster_tests() -> None:
    text = (GITHUB / "workflows" / "checks.yml").read_text(encoding="utf-8")
    loops = {word for found in re.findall(r"for group in ([a-z ]+); do", text) for word in found.split()}
    assert loops | set(re.findall(r"GROUP=([a-z]+)", text)) == set(GROUPS)
    # Of a given cluster what stands there is used, and kind has none of the controllers.
    assert "controllers" not in loops


def test_the_coverage_of_the_pure_rooms_counts_every_test_of_theirs() -> None:
    listed = re.search(r"^PURE_TESTS := ((?:.*\\\n)*.*)", makefile(), re.MULTILINE)
    assert listed
    words = set(re.split(r"[\s()]+", listed.group(1)))
    for path in sorted((PROJECT / "tests" / "unit").glob("test_*.py")):
        rooms = set(re.findall(r"^from (kubetuna\w*(?:\.\w+)?)", path.read_text(encoding="utf-8"), re.MULTILINE))
        if rooms and rooms <= PURE:
            assert path.name.removeprefix("test_") in words, path


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_make_targets_of_pages_exist(path: Path) -> None:
    blocks = [found.group() for found in _BLOCK.finditer(path.read_text(encoding="utf-8"))]
    lines = [line.partition("#")[0] for block in blocks for line in block.splitlines()]
    asked = {target for code in [*_CODE.findall(prose(path)), *lines] for target in _MAKE.findall(code)}
    assert asked <= make_targets()


def test_each_target_is_phony_or_a_file() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", makefile(), re.MULTILINE)
    assert phony and make_targets() == set(phony.group(1).split())


def test_folders_that_dependabot_watches_exist() -> None:
    for update in load(GITHUB / "dependabot.yml")["updates"]:
        for folder in update.get("directories", [update.get("directory")]):
            assert (PROJECT / folder.lstrip("/")).is_dir(), folder


def test_hooks_run_what_make_check_runs() -> None:
    entries = [hook["entry"].split()[0] for hook in load(PROJECT / ".pre-commit-config.yaml")["repos"][0]["hooks"]]
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", makefile(), re.MULTILINE)
    assert recipe
    assert entries == [line.split()[0].replace("$(BIN)", ".venv/bin") for line in recipe.group(1).splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_inside_the_repository_resolve(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", prose(page))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_the_readme_is_short() -> None:
    assert len((PROJECT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_site_lists_every_page_once() -> None:
    docs = PROJECT / "docs"
    listed = list(_listed(load(PROJECT / "mkdocs.yml")["nav"]))
    assert sorted(listed) == sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))


def _listed(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for child in entry if isinstance(entry, list) else entry.values():
            yield from _listed(child)


def test_the_site_fetches_nothing() -> None:
    site = load(PROJECT / "mkdocs.yml")
    assert site["theme"]["font"] is False, "the theme would ask a font service"
    assert not any("//" in str(script) for key in ("extra_javascript", "extra_css") for script in site.get(key, []))


def test_pictures_are_small_and_shown_somewhere() -> None:
    shown = {
        (page.parent / link).resolve() for page in PAGES for link in _LINK.findall(page.read_text(encoding="utf-8"))
    }
    for picture in (PROJECT / "docs" / "images").iterdir():
        assert picture.stat().st_size < IMAGE_LIMIT, picture
        assert picture in shown, picture


def test_documentation_is_pinned() -> None:
    pinned = {line.split("==")[0].lower() for line in (PROJECT / "constraints.txt").read_text().split()}
    wanted = (PROJECT / "requirements-docs.txt").read_text().split()
    assert {line.split("[")[0] for line in wanted} <= pinned
