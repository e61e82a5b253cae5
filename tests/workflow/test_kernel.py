from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat

CELLS = (
    "from crystal_ldm.workflow import save_report, start_notebook\n"
    'interactive = start_notebook(globals(), "outputs")',
    "import sys\nprint('one', interactive)\nprint('two', file=sys.stderr)\nprint('three')",
    "from IPython.display import HTML, clear_output, display\n"
    "print('gone'); clear_output()\ndisplay(HTML('<b>bold</b>')); print('four')\n7",
    "save_report(run_dir, 'outputs')",
)


def test_plain_papermill_leaves_notebook_and_report_in_the_run(
    clone: Path, make_notebook: Any
) -> None:
    make_notebook("outputs", "run_dir = ''  # where\nx = 1", *CELLS)
    run = clone / "run"
    run.mkdir()
    words = ["notebooks/outputs.ipynb", "out.ipynb", "-r", "run_dir", str(run), "-p", "x", "2"]
    subprocess.run([sys.executable, "-m", "papermill", *words], cwd=clone, check=True)
    kept = nbformat.read(run / "outputs.ipynb", as_version=4)
    nbformat.validate(kept)
    whole = nbformat.read(clone / "out.ipynb", as_version=4)
    assert [c.source.strip() for c in kept.cells] == [c.source.strip() for c in whole.cells]
    assert [c.execution_count for c in kept.cells] == [1, 2, 3, 4, 5, 6]
    assert kept.cells[1].metadata.tags == ["injected-parameters"]
    printed, shown = kept.cells[3], kept.cells[4]
    by_stream = {"stdout": "", "stderr": ""}
    for output in printed.outputs:
        by_stream[output.name] += output.text
    assert by_stream == {"stdout": "one False\nthree\n", "stderr": "two\n"}
    kinds = [output.output_type for output in shown.outputs]
    assert kinds == ["display_data", "stream", "execute_result"]
    assert "<b>bold</b>" in (run / "outputs.html").read_text()
    assert "gone" not in (run / "outputs.ipynb").read_text().replace("print('gone')", "")


def test_a_front_end_that_can_ask_a_person_is_interactive(clone: Path, make_notebook: Any) -> None:
    from jupyter_client.manager import start_new_kernel

    make_notebook("outputs", "run_dir = ''", *CELLS)
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(clone))
    try:
        for asks in (True, False):
            printed: list[str] = []
            client.execute_interactive(
                "from crystal_ldm.workflow.kernel import is_interactive\nprint(is_interactive())",
                allow_stdin=asks,
                output_hook=lambda m, to=printed: to.append(m["content"].get("text", "")),
                timeout=60,
            )
            assert "".join(printed).strip() == str(asks)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
