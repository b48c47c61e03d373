"""Measures every Python process that is started with this folder on its path: services and runs too."""

import coverage

coverage.process_startup()
