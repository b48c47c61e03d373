"""The weak supervisor against its peers, on real weights and real texts: ratios in one run."""
