"""dev: open the 04 notebook, run all, screenshot"""

import sys
import time

sys.path.insert(0, "/work/main")
from tests.browser.driver import *


def test_look(browser, lab, visit):
    v = visit(browser, width=1440, height=2000)
    nb = copy_notebook(
        "04_sample",
        ldm_ckpt="/tmp/work/dev.safetensors",
        num_samples=12,
        run_dir=f"/tmp/work/run{int(time.time())}",
        band_gap=2.0,
    )
    v.open(nb)
    print("run all", v.run_all(120))
    v.page.wait_for_selector(".cl-workbench", timeout=30000)
    v.page.wait_for_timeout(4000)
    v.page.locator(".cl-workbench").scroll_into_view_if_needed()
    v.page.wait_for_timeout(3000)
    v.shot("dev_page")
    v.shot("dev_workbench", ".cl-workbench")
    for i, t in enumerate(["Trajectory", "Compare", "Vary", "Grid", "Code and files"]):
        v.page.click(f".cl-tab-bar .lm-TabBar-tab:has-text('{t}')")
        v.page.wait_for_timeout(3500)
        v.shot(f"dev_tab{i + 1}", ".cl-workbench")
    print(v.errors, v.outside)
