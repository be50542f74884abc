"""What the scripts call: one module per verb, and the folder that every run leaves behind."""
