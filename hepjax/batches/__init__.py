"""Model input → streams of batches of one fixed shape."""

from hepjax.batches.arrays import eval_batches, train_blocks
from hepjax.batches.splits import Split, split

__all__ = ["Split", "eval_batches", "split", "train_blocks"]
