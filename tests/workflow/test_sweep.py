from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from crystal_ldm.errors import RunError
from crystal_ldm.files import read_run
from crystal_ldm.workflow import read_sweep, run_notebook, run_sweep
from crystal_ldm.workflow.execution import job_status

TRAIN = """
import os, time
from pathlib import Path
from crystal_ldm.files import open_run
if seed == 9:  # it ends after a job of another seed has begun, which does not wait for it
    latest = time.monotonic() + 300
    while not list(Path(run_dir).parent.glob("sample*/starts.txt")):
        assert time.monotonic() < latest
        time.sleep(0.1)
    raise MemoryError("too large")
with open_run(run_dir, "train", {"seed": seed}) as run:
    with open(run.path / "starts.txt", "a") as file:
        file.write(f"{os.environ['OMP_NUM_THREADS']}\\n")
    (run.path / "best.txt").write_text(f"weights {seed}")
"""
SAMPLE = """
import os, time
from pathlib import Path
from crystal_ldm.workflow.report import save_report
from crystal_ldm.files import open_run
with open_run(run_dir, "sample", {"ckpt": ckpt, "gap": gap}) as run:
    marker = run.path / "starts.txt"
    before = marker.read_text() if marker.exists() else ""
    marker.write_text(before + "x")
    if gap == 3 and not Path(run.path.parent / "mended").exists():
        raise ValueError("a gap of 3 is too wide")
    if gap == 4:
        os.kill(os.getpid(), 9)
    if gap == 5 and not before:
        print("waiting", flush=True)
        time.sleep(120)
    (run.path / "crystal.txt").write_text(Path(ckpt).read_text())
    print("made with", Path(ckpt).read_text())
"""


@pytest.fixture(autouse=True)
def notebooks(make_notebook: Any) -> None:
    make_notebook("train", "seed = 0\nrun_dir = ''", TRAIN)
    make_notebook("sample", "ckpt = ''\ngap = 0\nrun_dir = ''", SAMPLE)


def a_sweep(*gaps: int, seeds: tuple[int, ...] = (0,)) -> dict[str, Any]:
    sample = {"notebook": "sample", "parameters": {"ckpt": "${train}/best.txt"}}
    grid = {"seed": list(seeds), "gap": list(gaps)}
    steps = [{"notebook": "train"}, sample]
    return {"run_dir": "runs/s", "steps": steps, "grid": grid, "threads": 1}


def test_failures_stay_alone_and_a_second_call_repeats_only_them(clone: Path) -> None:
    told: list[str] = []
    result = run_sweep(a_sweep(1, 3, 4, seeds=(0, 9)), workers=3, progress=told.append)
    states = [job.state for job in result.jobs]
    assert states == ["finished", "finished", "failed", "failed", "failed"] + ["blocked"] * 3
    train, good, wide, killed, large, *blocked = result.jobs
    assert wide.message == "ValueError: a gap of 3 is too wide"
    assert large.message == "MemoryError: too large"
    assert "kernel died" in killed.message
    assert large.job.name in blocked[0].message
    assert not (blocked[0].job.directory / "job.log").exists()
    assert told[0].startswith("8 jobs") and told[-1].startswith("2 finished, 3 failed, 3 blocked")
    assert (train.job.directory / "starts.txt").read_text() == "1\n"
    assert (good.job.directory / "crystal.txt").read_text() == "weights 0"
    assert read_run(good.job.directory)["notebook"] == "sample"
    for job in (good, wide):
        page = (job.job.directory / "sample.html").read_text()
        assert "://" not in page
    assert "made with" in (good.job.directory / "sample.html").read_text()
    assert "too wide" in (wide.job.directory / "job.log").read_text()
    with (result.directory / "jobs.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == states

    (result.directory / "mended").touch()
    again = run_sweep(a_sweep(1, 3), progress=told.append)
    assert again.ok and [job.repeated for job in again.jobs] == [True, True, False]
    assert (good.job.directory / "starts.txt").read_text() == "x"
    assert (wide.job.directory / "starts.txt").read_text() == "xx"


def slow_job(clone: Path) -> Path:
    return next(job.directory for job in read_sweep(a_sweep(5)).jobs if "gap_5" in job.name)


def test_a_killed_sweep_goes_on_where_it_was(clone: Path, until: Any) -> None:
    sweep = clone / "s.yaml"
    sweep.write_text(json.dumps(a_sweep(1, 5)))
    command = [sys.executable, "-m", "crystal_ldm", "sweep", str(sweep)]
    first = subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, text=True)
    slow = slow_job(clone)
    until((slow / "starts.txt").exists, 60)
    with pytest.raises(RunError, match=f"in use by process {first.pid}"):
        run_sweep(a_sweep(1, 5), progress=None)
    pid = job_status(slow)["pid"]
    first.kill()
    first.communicate()
    until(lambda: not os.path.exists(f"/proc/{pid}"))  # nothing of it keeps on writing
    second = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "3 jobs, 2 finished before" in second.stdout
    assert (slow / "starts.txt").read_text() == "xx"


def test_a_dask_worker_that_dies_loses_nothing(clone: Path, until: Any) -> None:
    from distributed import Client, LocalCluster

    slow = slow_job(clone)

    def kill_worker() -> None:
        until((slow / "starts.txt").exists, 60)
        job = psutil.Process(job_status(slow)["pid"])
        job.parent().kill()

    options = {"threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with LocalCluster(n_workers=1, **options) as cluster, Client(cluster) as client:
        killer = threading.Thread(target=kill_worker)
        killer.start()
        result = run_sweep(a_sweep(5), client=client, progress=None)
        killer.join()
    assert [job.state for job in result.jobs] == ["finished", "finished"]
    assert (slow / "starts.txt").read_text() == "xx"
    assert (slow / "crystal.txt").read_text() == "weights 0"


def test_one_notebook_from_python(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A kernel of the same name that the user once installed must not be taken for ours.
    other = clone / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text(
        '{"argv": ["false"], "display_name": "x", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(clone / "jupyter"))
    monkeypatch.setenv("JUPYTER_PATH", str(clone / "jupyter"))
    done = run_notebook("train", {"seed": 7}, "runs/one", threads=1)
    assert done.state == "finished" and not done.repeated
    assert (clone / "runs" / "one" / "best.txt").read_text() == "weights 7"
    assert run_notebook("train", {"seed": 7}, "runs/one").repeated
    with pytest.raises(RunError, match="other parameters"):
        run_notebook("train", {"seed": 8}, "runs/one")
    slow = run_notebook("sample", {"gap": 5, "ckpt": "x"}, timeout=3)
    assert slow.state == "failed" and "longer than 3 s" in slow.message
