"""Trained runs side by side: read from their folders, grouped by configuration minus seed, and compared."""
