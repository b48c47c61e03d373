"""Teachers behind a text-generation server: TGI, or anything with OpenAI's `/v1` routes.

`client` speaks HTTP, `tgi` and `openai` know one interface each, `classes` reads class
probabilities off either, `backend` answers and `opener` connects.
"""

from w2s_supervisor.backends.text_generation.opener import TextGenerationOpener

__all__ = ["TextGenerationOpener"]
