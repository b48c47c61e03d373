"""What a loop reads: examples as tokens or features, with what they are compared with. Knows no artifacts."""

from w2s_trainer.data.answer_encoder import AnswerEncoder
from w2s_trainer.data.classification import ClassificationExamples
from w2s_trainer.data.completion_encoder import CompletionEncoder
from w2s_trainer.data.completions import CompletionExamples, TextExamples
from w2s_trainer.data.filtering import confident_rows
from w2s_trainer.data.holdout import holdout
from w2s_trainer.data.preferences import PreferenceExamples, by_preference
from w2s_trainer.data.rewards import RewardExamples
from w2s_trainer.data.rows import concat

__all__ = [
    "AnswerEncoder",
    "ClassificationExamples",
    "CompletionEncoder",
    "CompletionExamples",
    "PreferenceExamples",
    "RewardExamples",
    "TextExamples",
    "by_preference",
    "concat",
    "confident_rows",
    "holdout",
]
