"""From a chemical system or an open formula to a ranked list of compounds that hold up.

`discover(ldm, Goal.make(system="Li-Fe-O"), max_minutes=10)` is all of it; notebook 06_discover
calls it. Candidates go in rounds through every stage: made, filtered, compared, relaxed, compared
again, set against the hull; a second potential is asked about the best of them.
"""

from crystal_ldm.discovery.discover import discover
from crystal_ldm.discovery.goal import Goal
from crystal_ldm.discovery.novelty import KINDS, Novelty
from crystal_ldm.discovery.ranking import Discovery

__all__ = ["KINDS", "Discovery", "Goal", "Novelty", "discover"]
