"""Training procedures: the only LightningModules, and how their states are written."""
