"""What came before deep learning, to measure it by: boosted trees and support vectors, by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = Callable[[np.ndarray], np.ndarray]
    """(N, F) features → (N, C) float64 class probabilities."""


def check_scikit_learn_installed(argument: str) -> None:
    """Refuses to start what could not go on.

    Args:
      argument: that asks for it, for the message.

    Raises:
      InputError: scikit-learn is not installed.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise InputError(f"{argument}: needs scikit-learn; pip install 'hepjax[trees]'") from error


def boosted_trees(
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    classes: int,
    *,
    seed: int = 0,
    threads: int = 1,
) -> Answer:
    """Gradient-boosted decision trees, stopped by the validation part.

    Args:
      train: (N, F) features and (N,) class indices.
      val: the same of other jets.
      classes: C.
      seed: of the bins that features are sorted into.
      threads: that it uses. They wait for each other: where others work too, several are slower than one.

    Returns:
      The function of features.

    Raises:
      InputError: scikit-learn is not installed, there are jets of one class only, or shapes do not fit.

    Reference: J. Friedman, Ann. Stat. 29 (2001) 1189; in bins as in LightGBM (G. Ke et al., NeurIPS 2017).

    >>> x, y = np.array([[0.0], [1.0]] * 50), np.array([0, 2] * 50)
    >>> boosted_trees((x, y), (x, y), classes=3)(np.array([[1.0]])).round(1).tolist()
    [[0.0, 0.0, 1.0]]
    """
    (x, y), (x_val, y_val) = _checked_baseline_inputs("train", *train), _checked_baseline_inputs("val", *val)
    _check_two_classes(y)
    check_scikit_learn_installed("boosted_trees")
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    trees = HistGradientBoostingClassifier(
        max_iter=1000, learning_rate=0.05, early_stopping=True, n_iter_no_change=20, random_state=seed
    )
    with threadpool_limits(threads):
        trees.fit(x, y, X_val=x_val, y_val=y_val)

    def answer(x: np.ndarray) -> np.ndarray:
        with threadpool_limits(threads):
            return _spread_class_probabilities(trees.predict_proba(x), trees.classes_, classes)

    return answer


def support_vectors(
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    classes: int,
    *,
    penalty: float = 100.0,
    width: float = 0.03,
) -> Answer:
    """A support-vector machine with a Gaussian kernel for each pair of classes.

    Margins become probabilities by the logistic function that fits the validation jets of the pair best (Platt
    scaling); a class has the product of what its pairs say.

    Args:
      train: (N, F) scaled features and (N,) class indices; the time grows with N².
      val: the same of other jets, of each class that `train` has.
      classes: C.
      penalty: of jets within the margin, C in the field.
      width: γ of the kernel exp(-γ |x - y|²).

    Returns:
      The function of features, scaled in the same way.

    Raises:
      InputError: as `boosted_trees`, and where a class of `train` is missing in `val`.

    References: C. Cortes, V. Vapnik, Mach. Learn. 20 (1995) 273; J. Platt, "Probabilistic outputs for support vector
    machines" (1999); for pairs T. Hastie, R. Tibshirani, Ann. Stat. 26 (1998) 451.

    >>> x, y = np.array([[-1.0], [0.0], [1.0]] * 9), np.array([0, 1, 2] * 9)
    >>> support_vectors((x, y), (x, y), classes=3)(x[:3]).argmax(axis=1).tolist()
    [0, 1, 2]
    """
    (x, y), (x_val, y_val) = _checked_baseline_inputs("train", *train), _checked_baseline_inputs("val", *val)
    _check_two_classes(y)
    if missing := {*np.unique(y).tolist()} - {*np.unique(y_val).tolist()}:
        raise InputError(f"val: expected jets of each class of train, found none of {min(missing)}; give more jets")
    check_scikit_learn_installed("support_vectors")
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    machine = SVC(C=penalty, gamma=width, decision_function_shape="ovo", cache_size=1000).fit(x, y)
    first, second = np.triu_indices(known := len(machine.classes_), 1)
    signs = np.eye(known)[first] - np.eye(known)[second]

    def margins(x: np.ndarray) -> np.ndarray:
        """(N, pairs), positive where the jet looks like the first class of the pair."""
        found: np.ndarray = machine.decision_function(x)
        return -found[:, None] if known == 2 else found

    scales = []
    for pair, margin in zip(machine.classes_[np.stack([first, second], 1)], margins(x_val).T, strict=True):
        rows = np.isin(y_val, pair)
        platt = LogisticRegression(C=1e3).fit(margin[rows, None], y_val[rows] == pair[0])
        scales.append((platt.coef_[0, 0], platt.intercept_[0]))
    slopes, offsets = np.array(scales).T

    def answer(x: np.ndarray) -> np.ndarray:
        odds = slopes * margins(x) + offsets
        logarithms = -(np.logaddexp(0, -odds[..., None] * signs) * np.abs(signs)).sum(axis=1)
        p = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
        return _spread_class_probabilities(p / p.sum(axis=1, keepdims=True), machine.classes_, classes)

    return answer


def _checked_baseline_inputs(name: str, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise InputError(f"{name}: expected (N, F) features and (N,) labels, found {x.shape} and {y.shape}")
    if not np.isfinite(x).all():
        raise InputError(f"{name}: expected finite features, found NaN or infinite ones; remove those jets")
    return x, y


def _check_two_classes(y: np.ndarray) -> None:
    if len(np.unique(y)) < 2:
        raise InputError(f"train: expected jets of two classes or more, found {len(np.unique(y))}")


def _spread_class_probabilities(p: np.ndarray, known: np.ndarray, classes: int) -> np.ndarray:
    """(N, C), 0 for a class that there were no jets of."""
    found = np.zeros((len(p), classes))
    found[:, known] = p
    return found
