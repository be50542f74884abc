"""Views of a run in Weights & Biases, TensorBoard, MLflow and CSV, over Lightning's own loggers.

A tracker is a guest: it may fail, but it may neither end a run nor hold it up. The truth is the run's folder.
"""

from aelab.trackers.base import Tracker, new_run_id
from aelab.trackers.csv import Csv
from aelab.trackers.mlflow import MLflow
from aelab.trackers.tensorboard import TensorBoard
from aelab.trackers.wandb import Wandb

__all__ = ["Csv", "MLflow", "TensorBoard", "Tracker", "Wandb", "new_run_id"]
