"""The evaluator against its peers: ratios in one run."""
