"""What runs import: a process that torchrun started for itself, a fork server once for all runs that it forks."""

from __future__ import annotations

import gc
import importlib

# To look for what could be freed takes as long as to import it; forks neither look through it nor copy it then.
gc.disable()
for _name in ("w2s_trainer.worker.main", "w2s_trainer.worker.execute"):
    importlib.import_module(_name)
gc.freeze()
gc.enable()
