"""One evaluator for every variant: a trained model as a `Subject`, a suite of parts, and their `Findings`."""
