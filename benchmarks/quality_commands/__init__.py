"""The commands of `quality.py`."""
