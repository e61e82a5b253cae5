"""A kernel that dies under a panel: the panel says what to do, and Run All brings it back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from playwright.sync_api import Browser, expect

from tests.browser.driver import Visit, write_notebook

CELL = """
import os
from IPython.display import display
from pymatgen.core import Lattice, Structure
from crystal_ldm.widgets import Gallery

salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
display(Gallery([salt]))
print("kernel", os.getpid())
"""
ROOT = ".jp-Notebook .cl-root"
SAYS = f"() => getComputedStyle(document.querySelector('{ROOT}'), '::before').content"
BROKEN = """() => [...document.querySelectorAll('.jp-Notebook .jupyter-widgets-disconnected')]
  .filter((part) => !part.classList.contains("cl-root"))
  .filter((part) => getComputedStyle(part, '::before').display !== 'none')
  .map((part) => `${part.parentElement.className} > ${part.outerHTML.slice(0, 200)}`)"""
"""The widgets that show JupyterLab's broken link."""


def test_a_killed_kernel_asks_for_run_all_again(
    browser: Browser, visit: Callable[..., Visit]
) -> None:
    seen = visit(browser)
    page = seen.page
    seen.open(write_notebook("dead_kernel", [CELL]))
    seen.run_all()
    page.wait_for_selector(f"{ROOT} .cl-ngl[data-ticket]", timeout=60_000)
    assert "Run All again" not in page.evaluate(SAYS)
    first = kernel_of(seen)
    os.kill(first, signal.SIGKILL)
    page.wait_for_function(f"({SAYS})().includes('Run All again')", timeout=60_000)
    assert page.evaluate(BROKEN) == []
    seen.shot("dead_kernel")
    seen.run_all()
    assert kernel_of(seen) != first
    expect(page.locator(f"{ROOT} .cl-table tbody tr[data-index]")).to_have_count(1)
    assert "Run All again" not in page.evaluate(SAYS)
    # JupyterLab's own dialog says that it restarts the kernel, at a time of its own.
    assert all(text.startswith("Kernel Restarting") for text in seen.asked), seen.asked
    seen.asked.clear()


def kernel_of(seen: Visit) -> int:
    """Return the process that has drawn the panel."""
    said = seen.page.locator(".jp-OutputArea-output:has-text('kernel ')").last.inner_text()
    return int(said.split()[-1])
