from __future__ import annotations

import json
import os
import resource
import signal
import tempfile
from pathlib import Path

import pytest

from crystal_ldm.errors import RunError
from crystal_ldm.files import newest_runs, open_run, read_run, read_status, repo_root, resolve_path
from crystal_ldm.files.locks import LOCK_NAME, DirectoryLock, claimed_by_living
from crystal_ldm.files.writing import atomic_path, atomic_write, atomic_write_json

RECIPE = {"formula": "SrTiO3", "seed": 0, "scales": {"band_gap": 2.0}, "range": (1, 2)}


# --- where things are ---


def test_paths_are_relative_to_the_clone_from_any_folder_in_it(clone: Path) -> None:
    assert repo_root() == clone
    assert resolve_path("runs/a") == clone / "runs" / "a"
    assert resolve_path("/somewhere/else") == Path("/somewhere/else")


def test_outside_a_clone_the_installed_clone_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another-project"\n')
    monkeypatch.chdir(tmp_path)
    assert repo_root() == repository


def test_a_path_that_no_file_system_has_is_refused_in_a_sentence(clone: Path) -> None:
    with pytest.raises(RunError, match="too long"):
        open_run("x" * 300, "04_sample", {})


def test_empty_run_dir_names_the_run_after_notebook_and_time(clone: Path) -> None:
    first, second = open_run("", "04_sample", RECIPE), open_run("", "04_sample", RECIPE)
    assert first.path != second.path
    assert first.path.parent == clone / "runs"
    assert first.path.name.startswith("04_sample-2")
    first.close()
    second.close()


# --- continued or refused, never overwritten ---


def test_same_recipe_continues(clone: Path) -> None:
    with open_run("runs/a", "04_sample", RECIPE) as run:
        assert not run.continued
        (run.path / "table.csv").write_text("kept")
    again = open_run("runs/a", "04_sample", json.loads(json.dumps(RECIPE)))
    assert again.continued and again.finished
    assert (again.path / "table.csv").read_text() == "kept"
    again.close()


def test_other_recipe_is_refused_with_the_keys_that_differ(clone: Path) -> None:
    open_run("runs/a", "04_sample", RECIPE).finish("8 crystals")
    before = {file.name: file.read_bytes() for file in (clone / "runs" / "a").iterdir()}
    other = {**RECIPE, "scales": {"band_gap": 3.0}, "eta": 0.5}
    with pytest.raises(
        RunError, match=r"scales.band_gap was 2.0 and is now 3.0; eta was not given"
    ):
        open_run("runs/a", "04_sample", other)
    with pytest.raises(RunError, match="holds a run of 04_sample, not of 03_ldm"):
        open_run("runs/a", "03_ldm", RECIPE)
    assert {file.name: file.read_bytes() for file in (clone / "runs" / "a").iterdir()} == before


def test_true_is_not_one(clone: Path) -> None:
    open_run("runs/a", "04_sample", {"trajectory": 1}).finish()
    with pytest.raises(RunError, match="trajectory was 1 and is now true"):
        open_run("runs/a", "04_sample", {"trajectory": True})


def test_directory_with_other_files_is_refused(clone: Path) -> None:
    folder = clone / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("x")
    with pytest.raises(RunError, match=r"chapter1\.tex"):
        open_run("thesis", "04_sample", RECIPE)
    assert [file.name for file in folder.iterdir()] == ["chapter1.tex"]


def test_directory_prepared_by_the_pipeline_is_accepted(clone: Path) -> None:
    folder = clone / "runs" / "sweep" / "job"
    folder.mkdir(parents=True)
    for name in ("job.json", "job.log", "04_sample.ipynb"):
        (folder / name).write_text("{}")
    run = open_run(folder, "04_sample", RECIPE)
    assert not run.continued
    run.finish()
    assert newest_runs("04_sample") == [folder]


def test_recipe_that_is_not_plain_json_is_refused(clone: Path) -> None:
    for value in (float("nan"), object(), {1, 2}):
        with pytest.raises(RunError, match="plain JSON"):
            open_run("runs/a", "04_sample", {"value": value})


def test_truncated_run_file_is_named(clone: Path) -> None:
    open_run("runs/a", "04_sample", RECIPE).finish()
    file = clone / "runs" / "a" / "run.json"
    for content in (file.read_bytes()[:40], b"[]", b'{"notebook": 3}', b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(RunError, match=r"run\.json"):
            open_run("runs/a", "04_sample", RECIPE)
    with pytest.raises(RunError, match="not a run directory"):
        read_run(clone)


def test_status_tells_how_it_ended(clone: Path) -> None:
    run = open_run("runs/a", "04_sample", RECIPE)
    run.progress(3, 8, "sampling")
    status = read_status(run.path)
    assert (status["state"], status["step"], status["total"]) == ("running", 3, 8)
    with pytest.raises(ZeroDivisionError), run:
        1 / 0  # noqa: B018
    assert read_status(run.path)["state"] == "failed"
    assert "ZeroDivisionError" in read_status(run.path)["message"]
    with pytest.raises(KeyboardInterrupt), open_run("runs/a", "04_sample", RECIPE):
        raise KeyboardInterrupt
    status = read_status(run.path)
    assert (status["state"], status["message"][:8]) == ("stopped", "by hand;")
    assert read_status(clone) == {}


def test_newest_runs_come_first(clone: Path) -> None:
    for name in ("a", "b", "c"):
        open_run(f"runs/{name}", "04_sample", RECIPE).finish()
    open_run("runs/other", "03_ldm", RECIPE).finish()
    open_run("runs/a", "04_sample", RECIPE).fail(ValueError("no"))
    assert [path.name for path in newest_runs("04_sample")] == ["a", "c", "b"]
    assert [path.name for path in newest_runs("04_sample", count=1)] == ["a"]


# --- two processes ---

HOLD = """
    import sys, time
    from crystal_ldm.files import open_run
    run = open_run({path!r}, "04_sample", {{"formula": "SrTiO3"}})
    print("open", flush=True)
    time.sleep(60)
"""


def test_second_process_is_told_who_is_at_work(clone, python, monkeypatch) -> None:
    path = str(clone / "runs" / "a")
    holder = python(HOLD.format(path=path))
    assert holder.stdout.readline() == "open\n"
    with pytest.raises(RunError, match=f"in use by process {holder.pid} on "):
        DirectoryLock(path).acquire(wait=0.2)


def test_lock_of_a_killed_process_is_free_and_its_run_goes_on(clone, python) -> None:
    path = str(clone / "runs" / "a")
    holder = python(HOLD.format(path=path))
    assert holder.stdout.readline() == "open\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (Path(path) / LOCK_NAME).exists()
    run = open_run(path, "04_sample", {"formula": "SrTiO3"})
    assert run.continued and not run.finished
    run.finish()
    assert not (Path(path) / LOCK_NAME).exists()


def test_many_processes_never_hold_one_lock_together(tmp_path, python) -> None:
    code = f"""
        import os, time
        from crystal_ldm.files.locks import DirectoryLock
        for _ in range(25):
            lock = DirectoryLock({str(tmp_path)!r})
            lock.acquire(wait=30)
            name = {str(tmp_path / "inside")!r}
            os.close(os.open(name, os.O_CREAT | os.O_EXCL))  # fails if another is inside
            time.sleep(0.001)
            os.unlink(name)
            lock.release()
    """
    processes = [python(code) for _ in range(4)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors


def test_same_process_may_open_again_and_a_forked_child_does_not_hold_on(clone, python) -> None:
    first, second = (open_run("runs/a", "04_sample", RECIPE) for _ in range(2))
    child = os.fork()
    if child == 0:
        signal.pause()
    first.close()
    check = f"""
        from crystal_ldm.files.locks import DirectoryLock
        lock = DirectoryLock({str(first.path)!r})
        lock.acquire(wait=0.2)
    """
    try:
        _, errors = python(check).communicate()
        assert "in use by process" in errors
        second.close()
        second.close()
        _, errors = python(check).communicate()
        assert errors == ""
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_without_system_locks_only_a_living_holder_counts(python) -> None:
    process = python("import time; print(1, flush=True); time.sleep(60)")
    process.stdout.readline()
    import psutil

    started = psutil.Process(process.pid).create_time()
    host = os.uname().nodename
    holder = {"pid": process.pid, "host": host, "started": started}
    assert claimed_by_living(holder)
    assert not claimed_by_living({**holder, "started": started - 100})  # a reused number
    assert claimed_by_living({**holder, "host": "another-host"})
    process.kill()
    process.wait()
    assert not claimed_by_living(holder)
    assert not claimed_by_living({})


# --- disks and rights ---


def test_unwritable_directory_is_one_sentence(without_rights) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o555)
        for path in (folder, folder / "run"):
            told = without_rights(lambda path=path: open_run(path, "04_sample", RECIPE))
            assert told.startswith(f"RunError: '{path}") and "could not be written" in told
            assert "no permission" in told and "run_dir" in told
    finally:
        folder.rmdir()


def test_run_dir_that_is_a_file_is_one_sentence(clone: Path) -> None:
    (clone / "file").write_text("x")
    for path in ("file", "file/run"):
        with pytest.raises(RunError, match="could not be written"):
            open_run(path, "04_sample", RECIPE)


def test_full_disk_keeps_the_old_file_and_leaves_no_part(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    atomic_write(path, "old")
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            atomic_write(path, "x" * 5000)
            os._exit(1)
        except RunError as error:
            told = str(path) in str(error) and "finished files are kept" in str(error)
            os._exit(0 if told else 2)
    assert os.waitpid(pid, 0)[1] == 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_kill_while_writing_shows_the_old_file_or_the_new_one(tmp_path, python, until) -> None:
    path = tmp_path / "data"
    code = f"""
        from crystal_ldm.files.writing import atomic_write
        number = 0
        while True:
            atomic_write({str(path)!r}, bytes([number % 256]) * 300_000)
            number += 1
    """
    for _ in range(5):
        writer = python(code)
        path.unlink(missing_ok=True)
        until(path.exists)
        writer.kill()
        writer.wait()
        content = path.read_bytes()
        assert len(content) == 300_000 and len(set(content)) == 1
    assert list(tmp_path.glob("*.csv")) == []


def test_error_of_the_caller_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        (tmp_path / "missing").read_text()
    with pytest.raises(KeyError), atomic_path(tmp_path / "a") as part:
        part.write_text("half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_json_with_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not JSON"):
        atomic_write_json(tmp_path / "a.json", {"gap": float("nan")})


def test_what_lies_in_the_working_directory_is_meant_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = repo_root()
    (tmp_path / "my data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert repo_root() == clone  # that the package was installed from
    assert resolve_path("my data") == tmp_path / "my data"
    assert resolve_path("nowhere") == clone / "nowhere"
    assert resolve_path("") == clone
