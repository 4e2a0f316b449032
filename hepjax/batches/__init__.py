"""Model input → streams of batches of one fixed shape."""

from hepjax.batches.arrays import eval_batches, train_blocks
from hepjax.batches.splits import Split, check_classes, split

__all__ = ["Split", "check_classes", "eval_batches", "split", "train_blocks"]
