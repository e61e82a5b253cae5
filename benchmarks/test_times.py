"""Which tests cost most: CPU seconds of each, with those of the processes that it started.

    python -m pytest -p benchmarks.test_times -m "not browser"

prints the twenty that cost most, and the sum. What other programs do on the machine matters little
for CPU time, much for the `--durations` of pytest. Of processes only those are counted that have
ended and were waited for.
"""

from __future__ import annotations

import resource
from collections.abc import Generator
from typing import Any

import pytest

_SHOWN = 20
_NAME = "cpu_seconds"
_started = 0.0


def _cpu_seconds() -> float:
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(one)[:2]) for one in whose)


def pytest_runtest_logstart() -> None:
    """Begin with a test."""
    global _started
    _started = _cpu_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Note what a test has taken when its fixtures are gone."""
    report = yield
    if call.when == "teardown":
        report.user_properties.append((_NAME, _cpu_seconds() - _started))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table."""
    reports = [one for kind in terminalreporter.stats.values() for one in kind]
    times = [
        (dict(one.user_properties)[_NAME], one.nodeid)
        for one in reports
        if getattr(one, "when", "") == "teardown" and _NAME in dict(one.user_properties)
    ]
    terminalreporter.section(f"CPU seconds: {sum(seconds for seconds, _ in times):.0f} in all")
    for seconds, name in sorted(times, reverse=True)[:_SHOWN]:
        terminalreporter.write_line(f"{seconds:8.1f}  {name}")
