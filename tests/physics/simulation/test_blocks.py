import numpy as np
import pytest

from hepjax.data.datasets import hls4ml
from hepjax.physics.simulation import PUBLIC, blocks


@pytest.mark.parametrize("start", [0, 10, 20, 50, 70])
def test_rows_do_not_depend_on_where_a_run_starts(toys, start):
    labels = blocks.shuffled_labels(75, hls4ml.CLASSES, 4)
    whole = list(blocks.make_row_blocks(labels, 1, None, PUBLIC, 0))
    rest = list(blocks.make_row_blocks(labels, 1, None, PUBLIC, start))
    for block, same in zip(rest, whole[start // 10 :], strict=True):
        np.testing.assert_array_equal(block.labels, same.labels)
        assert block.cuts == same.cuts
        for mine, yours in zip(block.jets, same.jets, strict=True):
            np.testing.assert_array_equal(mine, yours)
    assert sum(block.cuts.kept for block in whole) == 75
