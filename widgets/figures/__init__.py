"""plotly figures of the notebooks: plain functions from data to `go.Figure`, one for one question.

They stay in an executed notebook and in its HTML, where no kernel and no network is at hand.
"""

from crystal_ldm.widgets.figures.comparison import (
    agreement_figure,
    distribution_figure,
    space_group_figure,
    target_figure,
)
from crystal_ldm.widgets.figures.crystals import crystal_grid
from crystal_ldm.widgets.figures.dataset import (
    atoms_figure,
    counts_figure,
    element_figure,
    values_figure,
)
from crystal_ldm.widgets.figures.discovery import phase_diagram_figure, powder_figure, show_columns
from crystal_ldm.widgets.figures.rates import calibration_figure, guidance_figure, rates_figure
from crystal_ldm.widgets.figures.theme import show_table, use_offline_renderer
from crystal_ldm.widgets.figures.training import latent_figure, loss_figure, tolerance_figure
