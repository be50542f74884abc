"""Objectives: named terms in nats per sample, and their weighted sum."""
