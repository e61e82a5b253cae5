"""README and pages: what they show is what there is."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml


def pages(repository: Path) -> list[Path]:
    return [
        repository / "README.md",
        repository / "CONTRIBUTING.md",
        *sorted((repository / "docs").rglob("*.md")),
    ]


def code_of(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


SMALLER = {  # as many crystals, and as near a cluster, as a test needs
    r"\b(16|100|8|5|50_000)\b(?=[,)])": "2",
    r'\{"cluster": "slurm".*?\}\}': '{"cluster": "local"}',
    r"workers=\d+": "workers=1",
    r"num_candidates=\d+, max_minutes=\d+": "num_candidates=2, max_minutes=0.01",
}
WITH_PYTHON = [
    "docs/start.md", "docs/clusters.md", "docs/how_to/again.md", "docs/how_to/filter.md",
    "docs/how_to/ranges.md", "docs/how_to/space_groups.md",
    "docs/how_to/relax.md", "docs/how_to/look.md", "docs/discovery.md",
]  # fmt: skip


def test_the_examples_of_the_page_on_host_structures_run(repository: Path) -> None:
    text = (repository / "docs" / "host_structures.md").read_text()
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, names)  # noqa: S102 - the page is ours
    doped, cell = names["doped"], names["cell"]
    assert {"Sr2TaTiO6", "Sr2TiMoO6", "Sr2TiWO6"} <= set(doped.crystals.formulas)
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
    command = [sys.executable, "-m", "crystal_ldm.sampling.settings_page"]
    page = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert (repository / "docs" / "settings.md").read_text() == page.stdout, " ".join(command[1:])


def test_links_lead_somewhere(repository: Path) -> None:
    checked = 0
    for page in [*pages(repository), *(repository / "docs").rglob("*.ipynb")]:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
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


def test_pages_with_python_are_those_that_are_run(repository: Path) -> None:
    with_python = {page for page in pages(repository) if code_of(page, "python")}
    others = ["README.md", "docs/host_structures.md"]  # whose results are looked at, too
    tested = {repository / name for name in [*WITH_PYTHON, *others]}
    assert with_python == tested


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON)
def test_the_python_of_a_page_runs(
    repository: Path, tmp_path: Path, python: Callable[..., subprocess.Popen[str]], page: str
) -> None:
    code = "\n".join(code_of(repository / page, "python"))
    for pattern, other in SMALLER.items():
        code = re.sub(pattern, other, code)
    (tmp_path / "page.py").write_text(f"if __name__ == '__main__':\n{indent(code, '    ')}")
    start = "import runpy; runpy.run_path('page.py', run_name='__main__')"
    process = python(start, CRYSTAL_LDM_ROOT=str(tmp_path.resolve()))
    _, said = process.communicate(timeout=500)
    assert process.returncode == 0, said[-3000:]


def test_sweeps_and_requests_of_the_pages_are_read(repository: Path) -> None:
    from crystal_ldm.runs.request_file import RequestFile
    from crystal_ldm.workflow import read_sweep

    read = 0
    for page in pages(repository):
        for text in code_of(page, "yaml"):
            content = yaml.safe_load(text)
            if "notebook" in content:
                assert read_sweep(content).jobs
                read += 1
            if "num_samples" in content:
                assert RequestFile.read(content, page.name).num_samples
                read += 1
    assert read > 1


def test_each_column_of_a_run_is_explained(repository: Path) -> None:
    from crystal_ldm.runs.table import COLUMNS

    page = (repository / "docs" / "start.md").read_text(encoding="utf-8")
    for name in (*COLUMNS, "displacement", "target_band_gap"):
        assert re.search(rf"^\|[^|]*`{name}`[^|]*\|", page, re.MULTILINE), name


def test_files_of_models_are_called_as_a_training_calls_them(repository: Path) -> None:
    for page in [*pages(repository), repository / "crystal_ldm" / "workflow" / "spec.py"]:
        for name in re.findall(r"\w+\.safetensors", page.read_text(encoding="utf-8")):
            assert name == "model.safetensors", f"{page.name}: {name}"


def test_targets_and_modules_of_the_pages_exist(repository: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(), re.MULTILINE)
    for page in pages(repository):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"
        for module in re.findall(r"python -m ((?:crystal_ldm|benchmarks)[\w.]*)", text):
            assert importlib.util.find_spec(module.rstrip(".")), f"{page.name}: {module}"


def test_commands_of_the_pages_exist(repository: Path) -> None:
    from click.testing import CliRunner

    from crystal_ldm.workflow.command_line import main

    listed = set(main.list_commands(None))  # type: ignore[arg-type]
    used = {
        word
        for page in pages(repository)
        for word in re.findall(r"(?m)(?:^|`|bin/)crystal-ldm ([a-z]+)", page.read_text())
    }
    assert used and used <= listed
    assert CliRunner().invoke(main, ["run", "04_sample", "--help"]).exit_code == 0


NOTEBOOKS = ["01_data", "03_ldm", "04_sample", "05_analysis", "06_discover"]


@pytest.mark.parametrize("notebook", NOTEBOOKS)
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
