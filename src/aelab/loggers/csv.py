"""A table of comma-separated values."""

from pytorch_lightning.loggers import CSVLogger

from aelab.loggers.base import Tracker


class Csv(Tracker[CSVLogger]):
    """A table without pictures, `trackers/csv/version_N/metrics.csv`, for each start or resume of the run."""

    def _start(self) -> CSVLogger:
        # Written at each call: Lightning's flush at every hundredth *step* may never meet a logged one.
        return CSVLogger(self._home, name="csv", flush_logs_every_n_steps=1)
