"""Tables of the notebooks."""

from __future__ import annotations

import pandas as pd
from crystal_ldm.widgets.panels.rows import COLUMNS
from IPython.display import display


def show_table(table: pd.DataFrame, precision: int = 2, index: bool = False) -> None:
    """Show a table in the notebook and its HTML; a shell that runs the notebook prints it as text.

    Columns are called as in a gallery, with their units.

    Args:
        table: what is shown.
        precision: decimals of numbers.
        index: whether the names of the rows are shown, too.
    """
    table = table.rename(columns={key: one.axis for key, one in COLUMNS.items()})
    styled = table.style.format(precision=precision, na_rep="")
    styled = styled.set_properties(["id"] if "id" in table else [], **{"white-space": "nowrap"})
    html = (styled if index else styled.hide()).to_html()
    text = table.to_string(index=index, float_format=f"%.{precision}f", na_rep="")
    display({"text/html": html, "text/plain": text}, raw=True)
