"""Makes new jets of each class: their observables, or their particles."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hepjax.tasks.generation.task import Generation
from hepjax.tasks.registry import register

if TYPE_CHECKING:
    from hepjax.tasks.generation.cloud_encoding import (
        CLOUD_COLUMNS,
        Clouds,
        CloudScaling,
        cloud_columns,
        cloud_inputs,
        cloud_observables,
        cloud_quantities,
        decode_particles,
        decode_totals,
        encode_particles,
        encode_totals,
        fit_cloud_scaling,
        make_clouds,
        make_view,
        mirror,
        pixels,
    )
    from hepjax.tasks.generation.cloud_sampling import independent_particles, make_generator, stretch
    from hepjax.tasks.generation.flow_matching import (
        at_time,
        draw_noise,
        euler,
        even_times,
        flat_view,
        heun,
        integrate,
        matching_error,
        midpoint,
        solve_flow,
        straight_line,
    )
    from hepjax.tasks.generation.flows import check_flow, normal_nll, sample_flow
    from hepjax.tasks.generation.preparation import (
        COORDINATES,
        FEWEST_JETS,
        Preparation,
        calibrate,
        choose_classes,
        fit_preparation,
        from_coordinates,
        prepare,
        restore_observables,
        to_coordinates,
    )
    from hepjax.tasks.generation.sampling import baseline_nll, generate, generate_baseline, generate_clouds
    from hepjax.tasks.generation.variational import noisy_decoder, variational_loss

# Everything else loads on first use: the options of the task are needed where jax must not be waited for.
_HOMES = {
    "cloud_sampling": (
        "independent_particles",
        "make_generator",
        "stretch",
    ),
    "cloud_encoding": (
        "CLOUD_COLUMNS",
        "CloudScaling",
        "Clouds",
        "cloud_columns",
        "cloud_inputs",
        "cloud_observables",
        "cloud_quantities",
        "decode_particles",
        "decode_totals",
        "encode_particles",
        "encode_totals",
        "fit_cloud_scaling",
        "make_clouds",
        "make_view",
        "mirror",
        "pixels",
    ),
    "flow_matching": (
        "at_time",
        "draw_noise",
        "euler",
        "even_times",
        "flat_view",
        "heun",
        "integrate",
        "matching_error",
        "midpoint",
        "solve_flow",
        "straight_line",
    ),
    "flows": (
        "check_flow",
        "normal_nll",
        "sample_flow",
    ),
    "preparation": (
        "COORDINATES",
        "FEWEST_JETS",
        "Preparation",
        "calibrate",
        "choose_classes",
        "fit_preparation",
        "from_coordinates",
        "prepare",
        "restore_observables",
        "to_coordinates",
    ),
    "sampling": ("baseline_nll", "generate", "generate_baseline", "generate_clouds"),
    "variational": (
        "noisy_decoder",
        "variational_loss",
    ),
}

__all__ = [
    "CLOUD_COLUMNS",
    "COORDINATES",
    "FEWEST_JETS",
    "CloudScaling",
    "Clouds",
    "Generation",
    "Preparation",
    "at_time",
    "baseline_nll",
    "calibrate",
    "check_flow",
    "choose_classes",
    "cloud_columns",
    "cloud_inputs",
    "cloud_observables",
    "cloud_quantities",
    "decode_particles",
    "decode_totals",
    "draw_noise",
    "encode_particles",
    "encode_totals",
    "euler",
    "even_times",
    "fit_cloud_scaling",
    "fit_preparation",
    "flat_view",
    "from_coordinates",
    "generate",
    "generate_baseline",
    "generate_clouds",
    "heun",
    "independent_particles",
    "integrate",
    "make_clouds",
    "make_generator",
    "make_view",
    "matching_error",
    "midpoint",
    "mirror",
    "noisy_decoder",
    "normal_nll",
    "pixels",
    "prepare",
    "restore_observables",
    "sample_flow",
    "solve_flow",
    "straight_line",
    "stretch",
    "to_coordinates",
    "variational_loss",
]

register("generation", Generation)


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"hepjax.tasks.generation.{home}"), name)
    raise AttributeError(f"module 'hepjax.tasks.generation' has no attribute {name!r}")
