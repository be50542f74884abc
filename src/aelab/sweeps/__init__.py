"""Many trainings as one study: which to run, each in a process of its own, and nothing lost."""
