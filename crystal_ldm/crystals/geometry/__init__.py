"""Distances, bonds, coordination polyhedra, and measurements between atoms."""
