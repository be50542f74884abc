"""What a comparison must not do in silence: count a reproduction, drop a metric, test nothing, show a key."""

import json
import shutil

import pytest
from folders import make_run

from aelab.comparison.compare import compare
from aelab.comparison.latex import latex
from aelab.comparison.page.importance import importances, swept
from aelab.comparison.tables import page
from aelab.comparison.text import HIDDEN, without_secrets
