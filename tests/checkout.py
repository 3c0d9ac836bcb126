"""Imported by every script under tests/: it, and what it starts, finds this checkout's packages also where nothing is installed.

Python puts a script's own folder on the path and not the checkout. Limits: for scripts; pytest has its own path.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
