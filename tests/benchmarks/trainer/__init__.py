"""The training loop against its peers, on real weights and real texts: ratios in one run."""
