"""Observations on the device: sources read them, the module cuts them into splits, loaders make batches."""
