from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from crystal_ldm.files import repo_root
from crystal_ldm.files.paths import ROOT_VARIABLE
from crystal_ldm.workflow.notebooks import provide_notebooks

NAMES = ["01_data", "02_vae", "03_ldm", "04_sample", "05_analysis", "06_discover"]


def test_notebooks_are_copied_and_never_over_files_of_the_user(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "01_data.ipynb").write_text("mine")
    assert provide_notebooks(folder) == folder / "04_sample.ipynb"
    assert sorted(path.stem for path in folder.iterdir()) == NAMES
    assert (folder / "01_data.ipynb").read_text() == "mine"
    (folder / "04_sample.ipynb").write_text("mine, too")
    provide_notebooks(folder)
    assert (folder / "04_sample.ipynb").read_text() == "mine, too"


def test_a_clone_has_its_own(clone: Path) -> None:
    (clone / "notebooks" / "04_sample.ipynb").touch()
    assert provide_notebooks(clone) == clone / "notebooks" / "04_sample.ipynb"
    assert not list(clone.glob("*.ipynb"))


def test_relative_paths_are_those_of_the_folder_of_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    monkeypatch.chdir(inner)
    assert repo_root() == tmp_path


@pytest.mark.slow
def test_the_server_shows_the_folder_whoever_starts_it(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    words = ["--no-browser", f"--port={port}", "--IdentityProvider.token=x"]
    process = subprocess.Popen(
        [sys.executable, "-m", "crystal_ldm", "lab", str(tmp_path), *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        address = f"http://localhost:{port}/api/contents?token=x"
        deadline = time.monotonic() + 90
        while True:
            try:
                with urlopen(address) as answer:
                    content = json.load(answer)["content"]
                break
            except URLError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.2)
        assert sorted(entry["name"] for entry in content) == [f"{name}.ipynb" for name in NAMES]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert "/lab/tree/04_sample.ipynb" in output
