"""Space groups: names, Wyckoff positions, what of them a crystal has, and how it is given one."""
