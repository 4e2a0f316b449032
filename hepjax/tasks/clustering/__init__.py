"""Unsupervised structure of jets: clusters from k-means and principal components."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.registry import submodule
from hepjax.tasks.clustering.kmeans import Clusters, kmeans, kmeans_from, nearest
from hepjax.tasks.clustering.pca import PrincipalComponents, apply_pca, fit_pca, invert_pca

__all__ = ["Clusters", "PrincipalComponents", "apply_pca", "fit_pca", "invert_pca", "kmeans", "kmeans_from", "nearest"]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
