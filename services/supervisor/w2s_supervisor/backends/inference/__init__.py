"""Teachers behind the Open Inference Protocol (v2): KServe InferenceServices, Triton, other supervisors."""

from w2s_supervisor.backends.inference.opener import InferenceOpener

__all__ = ["InferenceOpener"]
