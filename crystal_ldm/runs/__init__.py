"""Runs of crystals: what their directories hold, by one process or many."""
