"""Several members of one architecture, trained by one pass over stacked parameters."""
