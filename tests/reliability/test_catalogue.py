"""The tests that the reliability table counts are there."""

from __future__ import annotations

import ast
from pathlib import Path

from benchmarks.reliability_tests import BAD_INPUT, FAULTS, SAME_RESULT, SECURITY


def test_every_name_in_the_catalogue_is_a_test(repository: Path) -> None:
    groups = [*FAULTS.values(), BAD_INPUT, SECURITY, SAME_RESULT]
    names = [name for group in groups for name in group]
    assert len(names) == len(set(names)) > 50
    for name in names:
        file, _, function = name.partition("::")
        tree = ast.parse((repository / file).read_text())
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in found if function else any(n.startswith("test_") for n in found), name
