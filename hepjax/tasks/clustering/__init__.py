"""What is in jets beyond their labels: clusters by k-means, and the axes along which they differ most."""

from hepjax.tasks.clustering.kmeans import Clusters, kmeans, kmeans_from, nearest
from hepjax.tasks.clustering.pca import Axes, apply_pca, fit_pca, invert_pca

__all__ = ["Axes", "Clusters", "apply_pca", "fit_pca", "invert_pca", "kmeans", "kmeans_from", "nearest"]
