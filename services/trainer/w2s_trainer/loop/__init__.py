"""The training loop: transformers' Trainer over optimiser batches of ours. Knows no artifacts and no services."""
