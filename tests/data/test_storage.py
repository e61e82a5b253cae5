from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save_file

from crystal_ldm.data import cache_path, load_dataset, set_cache_dir
from crystal_ldm.data.cache import atomic_file, entry_lock
from crystal_ldm.data.dataset import CrystalDataset
from crystal_ldm.errors import DataError


@pytest.mark.parametrize("keep", [0, 5, 200, 0.5, -1])
def test_a_truncated_cache_file_is_built_again(table: Path, capsys, keep: float):
    whole = load_dataset(table, progress=False)
    data = whole.path.read_bytes()
    size = int(keep * len(data)) if isinstance(keep, float) else keep
    whole.path.write_bytes(data[:size])
    with pytest.raises(DataError, match="cut short or damaged"):
        CrystalDataset.open(whole.path)
    again = load_dataset(table, progress=False)
    assert again.content_hash == whole.content_hash
    assert again.report == whole.report and len(again) == len(whole)
    assert "built again" in capsys.readouterr().out


def test_one_changed_byte_is_found(table: Path):
    dataset = load_dataset(table, progress=False)
    data = bytearray(dataset.path.read_bytes())
    position = data.find(dataset.ids[3].encode())
    data[position] ^= 1
    dataset.path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        CrystalDataset.open(dataset.path)


def test_a_foreign_file_is_refused(tmp_path: Path):
    save_file({"x": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="not a prepared data set"):
        CrystalDataset.open(tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="cut short or damaged"):
        CrystalDataset.open(tmp_path / "missing.safetensors")


def test_the_file_is_mapped_and_not_read(table: Path):
    dataset = load_dataset(table, progress=False)
    mapped = {Path(m.path) for m in psutil.Process().memory_maps()}
    assert dataset.path in mapped


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.glob(".*.part")) == []


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(table: Path, cache: Path, python):
    process = python(
        f"""
        import resource, signal
        from crystal_ldm.data import load_dataset
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            load_dataset({str(table)!r}, progress=False)
        except Exception as error:
            print(type(error).__name__, error)
        """
    )
    out, _ = process.communicate(timeout=120)
    assert out.startswith("DataError") and "cannot be written" in out
    assert not list(cache.rglob("*.safetensors"))
    assert load_dataset(table, progress=False).path.exists()


def test_a_read_only_cache_can_be_read_and_says_that_it_cannot_be_written(
    rows, write, without_rights
):
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        table = write(folder / "crystals.csv", rows[:20])
        keywords = {"cache_dir": folder / "cache", "progress": False}
        load_dataset(table, **keywords)
        closed = [folder, folder / "cache", folder / "cache" / "datasets"]
        for path in closed:
            path.chmod(0o555)
        try:
            read = without_rights(lambda: load_dataset(table, **keywords))
            written = without_rights(lambda: load_dataset(table, max_atoms=5, **keywords))
        finally:
            for path in closed:
                path.chmod(0o755)
    assert read == ""
    assert written.startswith("DataError") and "CRYSTAL_LDM_CACHE" in written


@pytest.mark.slow
def test_a_killed_build_leaves_nothing_that_passes_for_whole(
    tmp_path: Path, cache: Path, rows, write, python
):
    table = write(tmp_path / "many.csv", rows)
    process = python(
        f"""
        from crystal_ldm.data import CrystalDataset, load_dataset
        def stop(dataset, path):
            # Half of the file is there: this is the moment to be killed.
            import os, signal
            from crystal_ldm.data.cache import atomic_file
            with atomic_file(path) as part:
                part.write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
        CrystalDataset.write = stop
        load_dataset({str(table)!r}, progress=False)
        """
    )
    assert process.wait(timeout=120) == -signal.SIGKILL
    assert len(list(cache.rglob(".*.part"))) == 1
    assert not list(cache.rglob("*.safetensors"))
    dataset = load_dataset(table, progress=False)
    assert len(dataset) == len(rows)
    assert list(cache.rglob(".*.part")) == []


@pytest.mark.slow
def test_the_second_process_waits_for_the_first_and_takes_its_work(table: Path, python):
    dataset = load_dataset(table, progress=False)
    built = dataset.path.read_bytes()
    dataset.path.unlink()
    with entry_lock(dataset.path):
        process = python(
            f"""
            from crystal_ldm.data import load_dataset
            print(load_dataset({str(table)!r}).content_hash)
            """
        )
        assert "Another process" in process.stdout.readline()
        dataset.path.write_bytes(built)
    out, _ = process.communicate(timeout=120)
    assert dataset.content_hash in out and "Preparing" not in out


@pytest.mark.slow
def test_work_goes_on_when_a_worker_is_killed(tmp_path: Path, rows, write, python, until):
    many = [{**row, "material_id": f"{k}-{row['material_id']}"} for k in range(2) for row in rows]
    table = write(tmp_path / "many.csv", many)
    process = python(
        f"""
        from crystal_ldm.data import load_dataset
        print(load_dataset({str(table)!r}, workers=2).content_hash)
        """
    )
    parent = psutil.Process(process.pid)

    def workers() -> list[psutil.Process]:
        children = parent.children(recursive=True)
        return [c for c in children if "crystal_ldm.parallel.worker" in c.cmdline()]

    until(lambda: bool(workers()), 60)
    workers()[0].kill()
    out, err = process.communicate(timeout=240)
    assert load_dataset(table, progress=False, workers=1).content_hash in out, err


@pytest.mark.slow
def test_no_worker_outlives_a_killed_preparation(tmp_path: Path, rows, write, python, until):
    many = [{**row, "material_id": f"{k}-{row['material_id']}"} for k in range(8) for row in rows]
    table = write(tmp_path / "many.csv", many)
    process = python(
        f"""
        from crystal_ldm.data import load_dataset
        load_dataset({str(table)!r}, workers=2)
        """
    )
    parent = psutil.Process(process.pid)
    until(lambda: len(parent.children(recursive=True)) == 2, 60)
    workers = parent.children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


def test_where_the_cache_lies_can_be_asked_and_set(table: Path, tmp_path: Path, cache: Path):
    assert cache_path() == cache
    dataset = load_dataset(table, progress=False, cache_dir=tmp_path / "here")
    assert dataset.path.is_relative_to(tmp_path / "here") and not cache.exists()
    assert set_cache_dir(tmp_path / "here") == tmp_path / "here" == cache_path()
    assert load_dataset(table, progress=False).path == dataset.path
    set_cache_dir(None)
    assert "crystal_ldm" in str(cache_path())


def test_the_cache_lies_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows, write
):
    monkeypatch.delenv("CRYSTAL_LDM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_path() == tmp_path / "xdg" / "crystal_ldm"
    dataset = load_dataset(write(tmp_path / "t.csv", rows[:3]), progress=False)
    assert dataset.path.is_relative_to(tmp_path / "xdg")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_path() == tmp_path / "home" / ".cache" / "crystal_ldm"
    monkeypatch.setenv("CRYSTAL_LDM_CACHE", "~/mine")
    assert cache_path() == tmp_path / "home" / "mine"


@pytest.mark.parametrize("folder", ["~", "~nobody_at_all/x", "a\0b", "x" * 5000])
def test_a_cache_that_cannot_be_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows, write, folder: str
):
    """Without HOME, and as a user that the system does not know, there is no home folder."""
    table = write(tmp_path / "t.csv", rows[:3])
    tmp_path.chmod(0o755)
    monkeypatch.delenv("CRYSTAL_LDM_CACHE")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987654)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        load_dataset(table, progress=False, cache_dir=None if folder == "~" else folder)
    assert len(str(caught.value)) < 600 and not (tmp_path / "~").exists()
