"""Runs of crystals: what their directories hold, made by one process or many."""
