"""Long work behind a button: a daemon thread that reports through traits and can be stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Notice, logger, sentence
from crystal_ldm.widgets.layout import button, disable

Result = TypeVar("Result")

INTERVAL = 0.2
"""Seconds between two updates of what the browser shows."""


class Throttle:
    """Says whether enough time has passed since it last said so."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self.interval = interval
        self._last = -float("inf")

    def ready(self) -> bool:
        """Return True at most once in `interval` seconds."""
        now = time.monotonic()
        if now - self._last < self.interval:
            return False
        self._last = now
        return True


class Job(tl.HasTraits):
    """Runs one function at a time in a daemon thread.

    Which thread ipykernel runs a widget's callback in differs between its versions, so a callback
    only calls `start` and returns.

    Traits:
        state: "idle", "running", "stopping", "done", "stopped" or "failed".
        progress: 0 to 1, or -1 where the end is not known.
        message: what is going on, plain text.
        error: one sentence when the state is "failed".
    """

    state = tl.Enum(
        ["idle", "running", "stopping", "done", "stopped", "failed"], default_value="idle"
    )
    progress = tl.Float(0.0)
    message = tl.Unicode("")
    error = tl.Unicode("")

    def __init__(self) -> None:
        super().__init__()
        self.stop_event = threading.Event()
        self._throttle = Throttle()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether a function is running."""
        return self.state in ("running", "stopping")

    def start(self, work: Callable[[Job], Any]) -> bool:
        """Run `work(job)` in the background; return False if something runs already."""
        with self._lock:
            if self.busy:
                return False
            self.stop_event.clear()
            self._throttle = Throttle()
            self.error, self.message, self.progress = "", "", 0.0
            self.state = "running"
            self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()
        return True

    def tell(
        self,
        notice: Notice,
        running: str = "Working…",
        buttons: Sequence[ipw.Button] = (),
        why: str = "Crystals are being made.",
    ) -> None:
        """Say in `notice` what is going on, and disable `buttons` until it has ended.

        The last message is what came of it.
        """

        def on_state(change: Any) -> None:
            for press in buttons:
                disable(press, why if self.busy else "")
            if change.new == "running":
                notice.say(running)
            elif change.new == "failed":
                notice.say(self.error, "error")
            elif change.new == "done" and self.message:
                notice.say(self.message, "good")

        self.observe(lambda change: notice.say(change.new), "message")
        self.observe(notice.guard(on_state), "state")

    def stop_button(self, **how: Any) -> ipw.Button:
        """Return a button that ends the function, usable while one is running."""
        press = button("Stop", self.stop, **how)

        def on_state(_: Any = None) -> None:
            disable(press, "" if self.state == "running" else "Nothing is running.")

        self.observe(on_state, "state")
        on_state()
        return press

    def stop(self) -> None:
        """Ask the function to end; what it has finished stays."""
        if self.state == "running":
            self.stop_event.set()
            self.state = "stopping"

    def report(self, progress: float, message: str = "") -> None:
        """Show how far the work is; calls in quick succession are dropped."""
        if self._throttle.ready():
            self.progress, self.message = float(progress), message

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the function has ended; return whether it has."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
            return not thread.is_alive()
        return True

    def _run(self, work: Callable[[Job], Any]) -> None:
        try:
            work(self)
        except Exception as error:  # the boundary where errors turn into text
            logger.debug("background work failed", exc_info=True)
            self.error = sentence(error)
            self.state = "failed"
        else:
            self.state = "stopped" if self.stop_event.is_set() else "done"


class Latest:
    """Works in the background for what was asked for last: `Latest(notice).start(work, show)`.

    Which of many crystals is selected changes more often than its symmetry is found: what was
    found for another one is dropped.
    """

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._asked = 0

    def start(
        self,
        work: Callable[[], Result],
        show: Callable[[Result], Any],
        after: float = 0.0,
        failed: Callable[[], Any] = lambda: None,
    ) -> None:
        """Call `show(work())` in a thread, unless `start` is called again before `work` has ended.

        Args:
            work: takes its time, and shows nothing.
            show: puts the result onto the page.
            after: seconds to wait first.
            failed: takes what is shown of another crystal off the page, where `work` fails.
        """
        self._asked += 1
        asked = self._asked

        def run() -> None:
            time.sleep(after)
            if asked == self._asked:
                try:
                    result = work()
                except Exception:
                    if asked != self._asked:
                        return
                    failed()
                    raise
                if asked == self._asked:
                    show(result)

        threading.Thread(target=self._notice.guard(run), daemon=True).start()

    def drop(self) -> None:
        """Let nothing be shown of what is going on."""
        self._asked += 1


def duration(seconds: float) -> str:
    """Return a length of time as a person says it: "8 s", "3 min 20 s", "1 h 5 min"."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
