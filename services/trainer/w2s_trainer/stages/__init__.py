"""The stages of a run, from artifacts to artifacts: what is read, what is trained on it, what is made."""
