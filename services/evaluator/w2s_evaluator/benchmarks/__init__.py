"""Standard benchmarks of language models."""
