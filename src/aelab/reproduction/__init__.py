"""RecordedRun runs, trained again by their own code and compared."""
