"""The options, files, targets and uses of networks that a task refuses, each in one line before work is done."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

    from hepjax.choices import Precision
    from hepjax.models import Model
    from hepjax.types import Dataset, Rule


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refusals:
    """The part of a task that refuses what it cannot do; by default nothing but augmentation."""

    def rules(self) -> Iterable[Rule]:
        """Returns what the options must keep to; none by default."""
        return ()

    def memory_problem(self) -> str:
        """Returns why all jets must be in memory, in words that follow "--memory: ", or "" as by default."""
        return ""

    def precision_problem(self, precision: Precision) -> str:
        """Returns what networks must compute with, in words that follow "--precision: expected ", or "" as by default.

        Args:
          precision: that is asked for.
        """
        return ""

    def folds_problem(self) -> str:
        """Returns why there cannot be folds, in words that follow "--folds: expected", or "" as by default."""
        return ""

    def augmentation_problem(self) -> str:
        """Returns what may be augmented, in words that follow "--augment: expected", or "" for all.

        By default it is nothing, for targets may change with the jets.
        """
        return "none for this task, whose targets may change with the jets"

    def weights_problem(self) -> str:
        """Returns why jets cannot have weights, in words for a message, or "" as by default."""
        return ""

    def negative_weights_problem(self) -> str:
        """Returns why weights cannot be negative, in words that follow "weights, ", or "" as by default."""
        return ""

    def weight_groups(self, targets: np.ndarray, columns: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
        """Tells which jets belong together where they are reweighted: by default all.

        Args:
          targets: (n,) or (n, D).
          columns: from `columns`.

        Returns:
          (n,) int numbers of groups, and the groups' names.
        """
        import numpy as np

        return np.zeros(len(targets), np.int64), ("all",)

    def check_weights(
        self,
        weights: Mapping[str, np.ndarray],
        targets: Mapping[str, np.ndarray],
        columns: Sequence[str],
        source: str,
        member: str = "",
    ) -> None:
        """Refuses negative weights where they cannot be, and parts or groups of jets that all together weigh nothing.

        Args:
          weights: part → (n,).
          targets: part → (n,) or (n, D).
          columns: from `columns`.
          source: the files, for the message.
          member: the name of the training, where there are several.

        Raises:
          InputError: names the part and the remedy.
        """
        for part, w in weights.items():
            where = f"the {part} part{f' of {member}' if member else ''}"
            if (w < 0).any() and (problem := self.negative_weights_problem()):
                raise InputError(
                    f"{source}: {(w < 0).sum()} of {len(w)} jets of {where} have negative weights, {problem}; leave "
                    "such jets out, or describe the files by a Dataset without weights"
                )
            groups, names = self.weight_groups(targets[part], columns)
            for group, name in [(None, ""), *enumerate(names)]:
                of_group = w if group is None else w[groups == group]
                total = of_group.sum(dtype="float64")
                if (of_group.any() or group is None) and not total > 0:
                    of = f" of class {name}" if group is not None and len(names) > 1 else ""
                    raise InputError(
                        f"{source}: the weights of the {len(of_group)} jets{of} in {where} add up to {total:g}, "
                        "expected more than 0; give more jets, or leave negative weights out"
                    )

    def check_inputs(self, columns: Sequence[str], dataset: Dataset) -> None:
        """Refuses inputs that give the targets away; none by default.

        Args:
          columns: the jet columns that the model reads.
          dataset: of the jets.

        Raises:
          InputError: names the column and the remedy.
        """

    def check_dataset(self, dataset: Dataset, source: str) -> None:
        """Refuses files whose targets cannot be read, before they are; none by default.

        Args:
          dataset: of the jets.
          source: the files, for the message.

        Raises:
          InputError: names the file, the column and the remedy.
        """

    def check_targets(
        self, targets: Mapping[str, np.ndarray], columns: Sequence[str], source: str, member: str = ""
    ) -> None:
        """Refuses what cannot be learned or measured; none by default.

        Args:
          targets: "train", "val", "test" or some of them → the targets of all their jets.
          columns: from `columns`.
          source: the files, for the message.
          member: the name of the fold or size that has these parts, or "".

        Raises:
          InputError: names the file, the column and the remedy.
        """

    def check_prediction(self, network: Model) -> None:
        """Refuses networks whose predictions of single jets mean nothing; none by default.

        Args:
          network: as its pipeline has it.

        Raises:
          InputError: names the model and what to do instead.
        """

    def check_export(self) -> None:
        """Refuses to export networks; does not by default.

        Raises:
          InputError: says what to do instead.
        """
