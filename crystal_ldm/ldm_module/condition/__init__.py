"""Conditions: composition, numbers, categories, element sets."""

from crystal_ldm.ldm_module.condition.base import Condition
from crystal_ldm.ldm_module.condition.composition import Composition
from crystal_ldm.ldm_module.condition.scalar import ScalarCondition
from crystal_ldm.ldm_module.condition.sets import CategoryCondition, ElementSetCondition
from crystal_ldm.ldm_module.condition.space_group import SpaceGroupCondition

__all__ = [
    "CategoryCondition",
    "Composition",
    "Condition",
    "ElementSetCondition",
    "ScalarCondition",
    "SpaceGroupCondition",
]
