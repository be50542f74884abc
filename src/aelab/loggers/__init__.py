"""Views of a run in Weights & Biases, TensorBoard, MLflow, Trackio and CSV, over Lightning's loggers.

A tracker is a guest: it may fail, but it may neither end a run nor hold it up. The truth is the run's folder.
"""

from aelab.loggers.base import Tracker, new_run_id, trackers
from aelab.loggers.csv import Csv
from aelab.loggers.mlflow import MLflow
from aelab.loggers.tensorboard import TensorBoard
from aelab.loggers.trackio import Trackio
from aelab.loggers.wandb import Wandb

__all__ = ["Csv", "MLflow", "TensorBoard", "Tracker", "Trackio", "Wandb", "new_run_id", "trackers"]
