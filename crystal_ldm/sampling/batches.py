"""From a request to batches of crystals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module.diffusion import StopSampling
from crystal_ldm.ldm_module.guidance import scale_of_each
from crystal_ldm.recipe import make_recipe
from crystal_ldm.sampling.checks import check_known, check_request
from crystal_ldm.sampling.denoising import Callback, Start, make_crystals
from crystal_ldm.sampling.options import SamplingOptions
from crystal_ldm.sampling.plan import Draft, Plan
from crystal_ldm.sampling.remaking import make_until_right
from crystal_ldm.sampling.result import SampleResult
from crystal_ldm.sampling.screening import check_screening

if TYPE_CHECKING:
    from crystal_ldm.ldm_module.ldm_module import LDMModule

Wanted = Callable[[int, int], bool] | None


def sample_batches(
    ldm: LDMModule,
    request: CrystalBatch | None,
    num_samples: Any,
    options: SamplingOptions,
    callback: Callback = None,
    start: Start | None = None,
    wanted: Wanted = None,
) -> Iterator[SampleResult]:
    """Yield each finished batch; see `LDMModule.iter_sample`.

    With `start` the crystals of row i begin at latents i, noised to the first of the timesteps.
    """
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
        raise RequestError(
            f"num_samples must be a whole number of at least 1, not {num_samples!r}."
        )
    if request is not None:
        request = request.to("cpu")
    check_request(ldm, request)
    check_screening(ldm, options.band_gap_tolerance)
    check_known(ldm, request, options, varied=start is not None)
    scale_of_each(options.cfg_scale, list(ldm.conditions))
    plan = Plan(request, num_samples, options.offset, options.seed, ldm.num_atoms_histogram)
    recipe = make_recipe(
        model=ldm.source,
        model_hash=ldm.model_hash,
        request=None if request is None else request.to_request(),
        sampling={"num_samples": num_samples, **options.to_dict()},
        data_hash=ldm.data_info.get("content_hash", ""),
        known_hash=ldm.known.hash if options.about_training_crystals else "",
    )
    places = [p for p in plan.places() if wanted is None or wanted(*p)]
    return _generate(ldm, plan, places, options, recipe, callback, start)


def _generate(
    ldm: LDMModule,
    plan: Plan,
    places: Sequence[tuple[int, int]],
    options: SamplingOptions,
    recipe: dict[str, Any],
    callback: Callback,
    start: Start | None,
) -> Iterator[SampleResult]:
    def make(drafts: list[Draft]) -> SampleResult:
        return make_crystals(ldm, drafts, options, recipe, callback, start)

    drafts = [plan.draft(row, number) for row, number in places]

    # Crystals of similar size share a batch: little padding. Each knows its place in the request.
    # Those whose elements the model draws itself are guided by them differently, and those without
    # a template start elsewhere (`denoising`).
    def kind(draft: Draft) -> tuple[bool, bool]:
        is_open = bool((draft.known == 0).any())
        if options.template_rank(draft.number) is None:
            return is_open, False
        # Asked for as when it is made: the search remembers its answers.
        found = is_open or ldm.known.search.nearest(draft.known, options.templates)
        return is_open, bool(found)

    drafts.sort(key=lambda draft: (kind(draft), len(draft.known)))
    width = ldm.sampler_network.denoiser.hidden_size
    while drafts:
        size = options.crystals_in_batch(len(drafts[0].known), width)
        largest = drafts[min(size, len(drafts)) - 1]
        size = min(size, options.crystals_in_batch(len(largest.known), width))
        first = kind(drafts[0])
        size = sum(kind(draft) == first for draft in drafts[:size])
        batch, drafts = drafts[:size], drafts[size:]
        try:
            yield make_until_right(make, batch, plan, options, ldm.prior is not None)
        except StopSampling:
            return
