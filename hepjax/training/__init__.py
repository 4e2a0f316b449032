"""Pure steps, and the loop that runs them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.registry import submodule
from hepjax.training.body_rates import Body
from hepjax.training.checkpoints import check_ensemble, restore, restore_ensemble, save, save_ensemble
from hepjax.training.ensembles import member_of, over_members, start
from hepjax.training.loop import DivergedError, fit, fit_full_batch, run_steps
from hepjax.training.optimizers import is_transformation, make_optimizer, with_loss, with_rates
from hepjax.training.schedules import hold, learning_rates, make_schedule
from hepjax.training.step import make_eval_step, make_train_step
from hepjax.training.stopping import should_stop
from hepjax.training.window_programs import Programs, compile_here, over_window

__all__ = [
    "Body",
    "DivergedError",
    "Programs",
    "check_ensemble",
    "compile_here",
    "fit",
    "fit_full_batch",
    "hold",
    "is_transformation",
    "learning_rates",
    "make_eval_step",
    "make_optimizer",
    "make_schedule",
    "make_train_step",
    "member_of",
    "over_members",
    "over_window",
    "restore",
    "restore_ensemble",
    "run_steps",
    "save",
    "save_ensemble",
    "should_stop",
    "start",
    "with_loss",
    "with_rates",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
