"""What the pipelines' steps do: thin clients of the three services, shared by every paper.

Every step is idempotent: its jobs have content keys, so a retried pod finds its own job. A
step that fails ends its pipeline, save one whose item says that it `may_fail`: a method under
study. Its failure is its result, `{"status": "failed", "reason": ...}`, which is reported.

Each module is imported by the steps that need it, and nothing is imported here: a step is a process
of its own, and most need neither tables nor tasks.
"""
