"""Work in the background: states, stopping, errors as sentences."""

from __future__ import annotations

import threading
import time

import pytest
from crystal_ldm.widgets.base import Notice, sentence
from crystal_ldm.widgets.jobs import Job, Throttle, duration

from crystal_ldm.errors import RequestError


def test_states_of_a_job() -> None:
    job, gate, states = Job(), threading.Event(), []
    job.observe(lambda change: states.append(change.new), "state")
    assert job.start(lambda _: gate.wait(10))
    assert job.busy and not job.start(lambda _: None), "one at a time"
    gate.set()
    assert job.wait(10)
    assert states == ["running", "done"]


def test_stop_is_an_event_that_the_work_sees() -> None:
    job, seen = Job(), []

    def work(running: Job) -> None:
        seen.append(running.stop_event.wait(10))

    job.start(work)
    job.stop()
    assert job.wait(10)
    assert seen == [True] and job.state == "stopped"
    job.start(lambda running: seen.append(running.stop_event.is_set()))
    job.wait(10)
    assert seen == [True, False] and job.state == "done"


def test_an_error_is_one_sentence_and_the_job_is_usable_again() -> None:
    job = Job()

    def fail(_: Job) -> None:
        raise RequestError("Xe is unknown.\nTake another.")

    job.start(fail)
    job.wait(10)
    assert (job.state, job.error) == ("failed", "Xe is unknown. Take another.")
    job.start(lambda _: None)
    job.wait(10)
    assert (job.state, job.error) == ("done", "")


def test_reports_are_throttled() -> None:
    job, seen = Job(), []
    job.observe(lambda change: seen.append(change.new), "progress")

    def work(running: Job) -> None:
        for i in range(1, 1001):
            running.report(i / 1000)
            time.sleep(0.0005)

    job.start(work)
    job.wait(20)
    assert 1 <= len(seen) < 20


def test_throttle_lets_the_first_one_through() -> None:
    throttle = Throttle(10)
    assert throttle.ready() and not throttle.ready()


def test_notice_guard_turns_exceptions_into_text() -> None:
    notice = Notice()

    def fail() -> None:
        raise KeyError("<b>band_gap</b>")

    notice.guard(fail)()
    assert notice.level == "error" and "KeyError" in notice.text
    assert "<b>" not in notice.widget.value
    assert 'role="alert"' in notice.widget.value
    assert notice.guard(lambda a, b=1: a + b)(2, b=3) == 5


def test_sentence_has_no_line_breaks() -> None:
    assert sentence(OSError("disk\nfull")) == "This did not work (OSError): disk full"
    assert sentence(RuntimeError()) == "This did not work (RuntimeError)."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3900, "1 h 5 min"),
        (7200, "2 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
