"""The report of an experiment: figures, plots and pages."""
