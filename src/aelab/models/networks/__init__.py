"""Encoders (x, c) -> features, decoders (z, c) -> the likelihood's parameters, corruptions, conditioners."""
