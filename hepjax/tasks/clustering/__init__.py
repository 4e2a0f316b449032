"""Unsupervised structure of jets: clusters from k-means and principal components."""

from hepjax.tasks.clustering.kmeans import Clusters, kmeans, kmeans_from, nearest
from hepjax.tasks.clustering.pca import PrincipalComponents, apply_pca, fit_pca, invert_pca

__all__ = ["Clusters", "PrincipalComponents", "apply_pca", "fit_pca", "invert_pca", "kmeans", "kmeans_from", "nearest"]
