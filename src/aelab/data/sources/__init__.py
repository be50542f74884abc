"""One module for each kind of source; all of them are `aelab.data.splits.Source`."""
