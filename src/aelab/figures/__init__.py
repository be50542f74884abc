"""Tensors and arrays as pictures."""
