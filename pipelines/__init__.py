"""Kubeflow pipelines, one module a paper, and the steps they share."""
