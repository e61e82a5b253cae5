"""Which packages are built: all else stands in pyproject.toml."""

from setuptools import find_packages, setup

inside = [f"crystal_ldm.{name}" for name in find_packages(include=["widgets*", "notebooks"])]
setup(packages=[*find_packages(include=["crystal_ldm*"]), *inside])
