"""A task that hangs, crashes or asks for too much memory costs only its own row."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import numpy as np
import psutil
import pytest

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.errors import EvaluationError
from crystal_ldm.parallel import WorkerPool, Workers, open_executor


def test_outcomes_keep_the_order_of_the_items():
    with WorkerPool(Workers(2)) as pool:
        outcomes = pool.map(partial(pow, 2), range(100), chunk=7)
    assert [outcome.value for outcome in outcomes] == [2**i for i in range(100)]
    assert [outcome.index for outcome in outcomes] == list(range(100))


def test_a_hanging_task_is_killed_and_the_rest_is_done():
    with WorkerPool(Workers(2, timeout=1.0)) as pool:
        started = time.monotonic()
        outcomes = pool.map(time.sleep, [0.0, 600, 0.0, 0.01, 600, 0.0], chunk=6)
        assert time.monotonic() - started < 60
        assert [outcome.error is None for outcome in outcomes] == [
            True,
            False,
            True,
            True,
            False,
            True,
        ]
        assert "longer than 1 s" in outcomes[1].error
        assert len(pool._processes) <= 2


def test_what_a_module_imports_is_no_part_of_the_first_items_time(tmp_path, monkeypatch):
    module = "import time\ntime.sleep({})\ndef double(x):\n    return 2 * x\n"
    (tmp_path / "slow_to_import.py").write_text(module.format(0))
    monkeypatch.syspath_prepend(tmp_path)
    from slow_to_import import double

    (tmp_path / "slow_to_import.py").write_text(module.format(2.5))
    with WorkerPool(Workers(1, timeout=1.0)) as pool:
        assert [outcome.value for outcome in pool.map(double, [1, 2])] == [2, 4]


def test_a_crash_costs_one_row():
    with WorkerPool(Workers(1)) as pool:
        outcomes = pool.map(partial(os.kill, 0), [0], chunk=1)  # harmless: signal 0
        assert outcomes[0].error is None
        crashed = pool.map(os._exit, [3, 4])
        assert [o.error for o in crashed] == [
            "Crash: the worker process ended with exit code 3",
            "Crash: the worker process ended with exit code 4",
        ]
        assert pool.map(abs, [-1])[0].value == 1


def test_what_is_killed_from_outside_is_tried_once_more(tmp_path):
    with WorkerPool(Workers(1)) as pool:
        file = tmp_path / "tries"
        outcome = pool.map(_end_at_first, [file], chunk=1)[0]
    assert outcome.value == 2


def _end_at_first(file):
    with file.open("a") as out:
        out.write("x")
    if file.stat().st_size == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return file.stat().st_size


def test_an_exception_is_a_reason():
    with WorkerPool(Workers(1)) as pool:
        outcomes = pool.map(abs, [-1, "a", 2])
    assert [outcome.value for outcome in outcomes] == [1, None, 2]
    assert outcomes[1].error == "TypeError: bad operand type for abs(): 'str'"


@pytest.mark.parametrize("size", [10**11])
def test_memory_is_bounded(size):
    with WorkerPool(Workers(1, memory_gb=1.0)) as pool:
        outcomes = pool.map(bytearray, [10, size])
    assert len(outcomes[0].value) == 10
    assert outcomes[1].error.startswith("MemoryError")


def test_items_are_drawn_only_as_workers_become_free():
    drawn = 0

    def endless():
        nonlocal drawn
        while True:
            drawn += 1
            yield drawn

    with WorkerPool(Workers(1)) as pool:
        outcomes = pool.imap(abs, endless(), chunk=4)
        for _ in range(10):
            next(outcomes)
        outcomes.close()
        assert drawn <= 16
        assert pool.map(abs, [-5])[0].value == 5  # still usable


def test_progress_counts_every_item():
    seen = []
    with WorkerPool(Workers(2, timeout=1.0)) as pool:
        pool.map(time.sleep, [0, 600, 0], progress=seen.append)
    assert sum(seen) == 3


def test_worker_processes_have_one_thread_each():
    with WorkerPool(Workers(1)) as pool:
        assert pool.map(os.getenv, ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])[0].value == "1"


def test_no_process_outlives_its_parent():
    script = textwrap.dedent("""
        import os, time
        from crystal_ldm.parallel import WorkerPool, Workers
        pool = WorkerPool(Workers(1, timeout=600))
        print(pool.map(abs, [1])[0].value)
        print(next(iter(pool._processes.values())).process.pid, flush=True)
        pool.map(time.sleep, [600])
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline().strip() == "1"
    worker = int(parent.stdout.readline())
    assert psutil.pid_exists(worker)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(worker)


def test_no_process_outlives_its_parent_though_a_forked_child_does():
    """A data loader's worker holds the pipes of its parent open."""
    script = textwrap.dedent("""
        import os, time
        from crystal_ldm.parallel import WorkerPool, Workers
        pool = WorkerPool(Workers(1, timeout=600))
        pool.map(abs, [1])
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        print(next(iter(pool._processes.values())).process.pid, child, flush=True)
        pool.map(time.sleep, [600])
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker, child = map(psutil.Process, map(int, parent.stdout.readline().split()))
    parent.kill()
    parent.wait()
    try:
        worker.wait(timeout=20)
        assert child.is_running()
    finally:
        child.kill()


def test_this_process_is_an_executor_too():
    seen = []
    with open_executor(Workers(here=True)) as executor:
        outcomes = executor.map(abs, [-1, "a"], progress=seen.append)
        assert executor.map(abs, []) == []
        with open_executor(executor) as same:  # one that is open stays open
            assert same is executor
    assert [outcome.value for outcome in outcomes] == [1, None] and seen == [1, 1]
    assert outcomes[1].error == "TypeError: bad operand type for abs(): 'str'"


def test_a_script_without_a_main_guard_works():
    script = textwrap.dedent("""
        from crystal_ldm.parallel import WorkerPool, Workers
        with WorkerPool(Workers(2)) as pool:
            print([outcome.value for outcome in pool.map(abs, [-1, -2])])
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[1, 2]"


@pytest.mark.parametrize("arguments", [{"count": 0}, {"timeout": 0}, {"memory_gb": -1}])
def test_limits_that_make_no_sense_are_refused(arguments):
    with pytest.raises(EvaluationError):
        Workers(**arguments)


@pytest.mark.slow
def test_dask_gives_the_same_answers():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
        open_executor(Workers(client=client, timeout=1.0)) as executor,
    ):
        outcomes = executor.map(time.sleep, [0, 600, 0])
        assert [outcome.index for outcome in outcomes] == [0, 1, 2]
        assert [outcome.error is None for outcome in outcomes] == [True, False, True]
        values = executor.map(abs, range(-200, 0))
        # Each worker process leads a session, whose number is its own.
        process = psutil.Process(executor.map(os.getsid, [0])[0].value)
        assert process.pid != os.getpid()
        assert [outcome.value for outcome in values] == list(range(200, 0, -1))
        executor.close()
        process.wait(timeout=20)


def test_packing_is_exact(known_crystals):
    for structure in known_crystals[:10]:
        back = Cell.from_structure(structure).to_structure()
        assert np.array_equal(back.lattice.matrix, structure.lattice.matrix)
        assert np.array_equal(back.frac_coords, structure.frac_coords)
        assert back.species == structure.species
        assert Cell.from_structure(structure).formula == structure.reduced_formula
