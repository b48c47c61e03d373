"""Weak-to-strong generalization in written answers, such as chess moves (Burns et al. 2023)."""
