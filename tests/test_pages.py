"""README and pages: what they show is what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def pages(repository: Path) -> list[Path]:
    return [repository / "README.md", repository / "CONTRIBUTING.md", *repository.glob("docs/*.md")]


def test_the_examples_of_the_page_on_host_structures_run(repository: Path) -> None:
    text = (repository / "docs" / "host_structures.md").read_text()
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, names)  # noqa: S102 - the page is ours
    doped, cell = names["doped"], names["cell"]
    assert {"Sr2TaTiO6", "Sr2MgTiO6", "Sr2ScTiO6"} <= set(doped.crystals.formulas)
    assert "SrTiO3" not in doped.crystals.formulas
    for crystal in doped.to_structures():
        apart = crystal.frac_coords - cell.frac_coords
        assert abs(apart - apart.round()).max() < 1e-6
        assert [i for i in range(10) if crystal[i].specie != cell[i].specie] == [2]
    assert names["intercalated"].passed["host"].all()
    for crystal in names["intercalated"].to_structures():
        assert crystal[-1].specie.symbol == "Li" and 5.8 < crystal.lattice.c < 6.4
        place = crystal[-1].frac_coords - [0, 0, 0.5]
        assert abs(place - place.round()).max() < 0.05


def test_the_table_of_settings_is_that_of_the_schema(repository: Path) -> None:
    # In a process of its own, which knows no filters of other tests.
    command = [sys.executable, "-m", "crystal_ldm.sampling.table"]
    page = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert (repository / "docs" / "settings.md").read_text() == page.stdout, " ".join(command[1:])


def test_links_lead_somewhere(repository: Path) -> None:
    checked = 0
    for page in pages(repository):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
                checked += 1
    assert checked > 15


def test_the_example_of_the_readme_runs(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = re.sub(r"\b(16|100|5)\b(?=[,)])", "2", code)  # as many crystals as a test needs
    assert "num_samples=2" in code
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - the README is ours
    assert len(names["structures"]) == 4  # type: ignore[arg-type]


def test_commands_of_the_pages_exist(repository: Path) -> None:
    from click.testing import CliRunner

    from crystal_ldm.workflow.command_line import main

    listed = set(main.list_commands(None))  # type: ignore[arg-type]
    used = {
        word
        for page in pages(repository)
        for word in re.findall(r"crystal-ldm ([a-z]+)", page.read_text())
    }
    assert used and used <= listed
    assert CliRunner().invoke(main, ["run", "04_sample", "--help"]).exit_code == 0


@pytest.mark.parametrize("notebook", ["01_data", "03_ldm", "04_sample", "06_discover"])
def test_options_of_the_pages_exist(repository: Path, notebook: str) -> None:
    from click.testing import CliRunner

    from crystal_ldm.workflow.command_line import main

    known = CliRunner().invoke(main, ["run", notebook, "--help"]).output
    shown = 0
    for page in pages(repository):
        for command in re.findall(
            rf"crystal-ldm run {notebook}((?:[^`\n]|\\\n)*)", page.read_text()
        ):
            for name in re.findall(r"(?<= )--[a-z-]+", command):
                assert name in known, f"{page.name}: {name}"
                shown += 1
    assert shown
