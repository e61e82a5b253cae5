"""The tests behind the reliability table, and what they record."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

FAULTS = {
    "kill -9": [
        "tests/training/test_fit.py::test_a_killed_run_goes_on",
        "tests/runs/test_sample_run.py::test_a_killed_process_loses_no_finished_crystal",
        "tests/reliability/test_faults.py::test_sampling_killed_again_and_again",
        "tests/runs/test_split_request.py::test_a_worker_and_then_the_whole_run_are_killed",
        "tests/evaluate/test_stability.py::test_a_killed_run_resumes_without_repeating",
        "tests/workflow/test_sweep.py::test_a_killed_sweep_goes_on_where_it_was",
        "tests/data/test_storage.py::test_a_killed_build_leaves_nothing_that_passes_for_whole",
        "tests/files/test_run_directory.py::test_lock_of_a_killed_process_is_free_and_its_run_goes_on",
        "tests/files/test_run_directory.py::test_kill_while_writing_shows_the_old_file_or_the_new_one",
    ],
    "a worker dies": [
        "tests/parallel/test_workers.py::test_no_process_outlives_its_parent",
        "tests/workflow/test_sweep.py::test_a_dask_worker_that_dies_loses_nothing",
        "tests/workflow/test_sweep.py::test_failures_stay_alone_and_a_second_call_repeats_only_them",
        "tests/parallel/test_workers.py::test_a_crash_costs_one_row",
        "tests/parallel/test_workers.py::test_a_hanging_task_is_killed_and_the_rest_is_done",
        "tests/data/test_storage.py::test_work_goes_on_when_a_worker_is_killed",
    ],
    "disk full": [
        "tests/training/test_training_faults.py::test_a_full_disk_keeps_the_last_checkpoint",
        "tests/reliability/test_faults.py::test_sampling_onto_a_full_disk",
        "tests/reliability/test_faults.py::test_an_evaluation_that_cannot_be_written",
        "tests/reliability/test_faults.py::test_a_sweep_onto_a_full_disk_is_continued",
        "tests/runs/test_sample_run.py::test_a_full_disk_keeps_what_is_there",
        "tests/files/test_run_directory.py::test_full_disk_keeps_the_old_file_and_leaves_no_part",
        "tests/data/test_storage.py::test_a_full_disk_is_one_sentence_and_leaves_no_half_file",
    ],
    "no permission": [
        "tests/training/test_training_faults.py::test_a_directory_without_rights_is_one_sentence",
        "tests/reliability/test_faults.py::test_a_sweep_without_rights_is_one_sentence",
        "tests/runs/test_sample_run.py::test_a_directory_without_rights_is_one_sentence",
        "tests/files/test_run_directory.py::test_unwritable_directory_is_one_sentence",
        "tests/evaluate/test_stability.py::test_a_folder_that_cannot_be_written_is_one_sentence",
        "tests/data/test_storage.py::test_a_read_only_cache_can_be_read_and_says_that_it_cannot_be_written",
    ],
    "two processes": [
        "tests/runs/test_two_writers.py::test_a_second_request_in_a_directory_is_refused",
        "tests/runs/test_two_writers.py::test_one_process_does_not_write_a_run_twice_at_a_time",
        "tests/runs/test_two_writers.py::test_two_processes_make_one_whole_run",
        "tests/training/test_training_faults.py::test_a_second_process_is_told_who_trains_there",
        "tests/reliability/test_faults.py::test_a_split_request_in_a_run_in_use",
        "tests/files/test_run_directory.py::test_second_process_is_told_who_is_at_work",
        "tests/files/test_run_directory.py::test_many_processes_never_hold_one_lock_together",
        "tests/data/test_storage.py::test_the_second_process_waits_for_the_first_and_takes_its_work",
    ],
    "truncated file": [
        "tests/training/test_training_faults.py::test_a_damaged_checkpoint_is_named_and_never_run",
        "tests/reliability/test_faults.py::test_a_truncated_table_is_refused_or_the_rest_is_judged",
        "tests/runs/test_sample_run.py::test_a_continued_run_makes_only_what_is_missing",
        "tests/files/test_run_directory.py::test_truncated_run_file_is_named",
        "tests/test_pretrained.py::test_a_cut_file_is_no_model",
        "tests/data/test_storage.py::test_a_truncated_cache_file_is_built_again",
        "tests/data/test_storage.py::test_one_changed_byte_is_found",
        "tests/data/test_oqmd.py::test_a_damaged_database_is_not_used",
        "tests/data/test_readers.py::test_a_cut_cif_is_rejected_or_whole",
    ],
}
BAD_INPUT = [
    "tests/reliability/test_bad_input.py",
    "tests/reliability/test_argument_types.py",
    "tests/recipe/test_recipe.py::test_damaged_files_raise_documented_errors_only",
    "tests/config/test_config.py::test_any_values_raise_config_errors_only",
    "tests/config/test_config.py::test_any_override_raises_config_errors_only",
    "tests/workflow/test_spec.py::test_any_yaml_raises_documented_errors_only",
    "tests/workflow/test_parameters.py::test_any_value_raises_documented_errors_only",
]
SECURITY = [
    "tests/runs/test_two_writers.py::test_no_file_of_a_run_is_written_through_a_link",
    "tests/runs/test_two_writers.py::test_no_cif_is_written_into_a_linked_folder",
    "tests/runs/test_two_writers.py::test_a_lock_that_is_a_pipe_holds_nobody_up",
    "tests/files/test_csv_text.py",
    "tests/nn/test_model_files.py",
    "tests/reliability/test_security.py",
    "tests/workflow/test_report.py::test_nothing_in_an_output_runs_or_calls_home",
    "tests/workflow/test_spec.py::test_yaml_that_is_not_plain_data_is_refused",
    "tests/recipe/test_recipe.py::test_bombs_are_not_unpacked",
    "tests/data/test_readers.py::test_json_never_calls_what_it_names",
    "tests/data/test_oqmd.py::test_a_wheel_that_is_not_the_expected_one_is_refused",
    "tests/evaluate/test_band_gap.py::test_other_weights_are_not_read",
    "tests/widgets/test_viewer.py::test_user_text_is_escaped",
    "tests/widgets/test_export.py::test_code_is_escaped",
]
SAME_RESULT = [
    "tests/reliability/test_same_result.py",
    "tests/runs/test_split_request.py::test_two_processes_and_dask_give_the_crystals_of_one",
    "tests/training/test_processes.py",
    "tests/training/test_fit.py::test_a_resumed_run_has_the_curve_of_an_uninterrupted_one",
    "tests/sampling/test_sampling.py::test_the_batch_size_changes_no_crystal",
    "tests/sampling/test_sampling.py::test_an_offset_splits_a_request",
    "tests/sampling/test_sampling.py::test_two_threads_give_the_crystals_of_one",
    "tests/recipe/test_recipe.py::test_from_recipe_makes_the_same_crystals",
    "tests/runs/test_sample_run.py::test_a_cif_makes_its_crystal_again",
]


class Record:
    """What pytest's junit file says of one call.

    Attributes:
        passed, failed: numbers of test cases.
        inputs: cases that hypothesis tried.
        noted: sums of the numbers that tests noted (`record_property`).
        broken: names of the failed ones.
    """

    def __init__(self, file: Path) -> None:
        self.passed = self.failed = self.inputs = 0
        self.noted: Counter[str] = Counter()
        self.broken: list[str] = []
        for case in ElementTree.parse(file).getroot().iter("testcase"):
            bad = [child for child in case if child.tag in ("failure", "error")]
            self.failed += bool(bad)
            self.passed += not bad
            self.broken += [f"{case.get('classname')}::{case.get('name')}"] * bool(bad)
            for noted in case.iter("property"):
                self.noted[str(noted.get("name"))] += int(str(noted.get("value")))
        for noted in ElementTree.parse(file).getroot().iter("property"):
            if str(noted.get("name")).startswith("hypothesis-statistics-"):
                text = base64.b64decode(str(noted.get("value"))).decode()
                for passing, failing in re.findall(r"(\d+) passing, (\d+) failing", text):
                    self.inputs += int(passing) + int(failing)


def run_tests(names: Iterable[str], *options: str) -> Record:
    """Run tests by their ids; an id that does not exist ends the program."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", f"--junitxml={file}"]
        done = subprocess.run(
            [*command, "-o", "junit_family=xunit1", *options, *names], cwd=ROOT, check=False
        )
        if done.returncode not in (0, 1) or not file.is_file():
            raise SystemExit(f"pytest could not run these tests (exit code {done.returncode}).")
        return Record(file)
