"""The revisions of the evaluator's tables, each in a file that begins with its number."""
