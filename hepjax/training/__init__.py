"""Pure steps, and the loop that runs them."""

from hepjax.training.checkpoints import restore, restore_many, restore_progress, save, save_many, save_progress
from hepjax.training.ensembles import Many, fit_many, over_members, start_many
from hepjax.training.loop import DivergedError, fit, run_steps, start
from hepjax.training.optimizers import make_optimizer, with_rates
from hepjax.training.schedules import learning_rate, make_schedule
from hepjax.training.step import make_eval_step, make_train_step
from hepjax.training.stopping import should_stop
from hepjax.training.windows import Programs, compile_here, over_window

__all__ = [
    "DivergedError",
    "Many",
    "Programs",
    "compile_here",
    "fit",
    "fit_many",
    "learning_rate",
    "make_eval_step",
    "make_optimizer",
    "make_schedule",
    "make_train_step",
    "over_members",
    "over_window",
    "restore",
    "restore_many",
    "restore_progress",
    "run_steps",
    "save",
    "save_many",
    "save_progress",
    "should_stop",
    "start",
    "start_many",
    "with_rates",
]
