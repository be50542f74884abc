"""Latent variable models: the autoencoder, its parts, and what a model is told."""

from aelab.models.base import UNFITTED, Autoencoder, autoencoder

__all__ = ["UNFITTED", "Autoencoder", "autoencoder"]
