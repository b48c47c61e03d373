"""The w2s library: what the services, the pipelines and the command share."""

__version__ = "0.1.0"
