"""Prototypes: known crystals of similar formulas, their elements exchanged."""
