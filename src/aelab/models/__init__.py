"""Latent variable models: the autoencoder, its parts, and what a model is told."""

from aelab.models.base import Autoencoder, autoencoder

__all__ = ["Autoencoder", "autoencoder"]
