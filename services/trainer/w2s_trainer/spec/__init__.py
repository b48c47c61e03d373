"""Everything that decides a run's result, as typed settings; mirrors the protos."""

from w2s_trainer.spec.objectives import (
    AuxiliaryConfidence,
    Averaging,
    ConfidenceWindow,
    ConflictTerm,
    CrossEntropy,
    Dpo,
    ExplicitConflict,
    Kind,
    LanguageModeling,
    Objective,
    Orpo,
    ProductConfidence,
    Ramp,
    RewardModeling,
    Sft,
    SimPo,
)
from w2s_trainer.spec.recipes import ConfidenceFilter, EarlyStopping, GenerativeFirst, Hop
from w2s_trainer.spec.resources import Resources, Sharding
from w2s_trainer.spec.run import RunSpec
from w2s_trainer.spec.training import Precision, Schedule, TrainingConfig

__all__ = [
    "AuxiliaryConfidence",
    "Averaging",
    "ConfidenceFilter",
    "ConfidenceWindow",
    "ConflictTerm",
    "CrossEntropy",
    "Dpo",
    "EarlyStopping",
    "ExplicitConflict",
    "GenerativeFirst",
    "Hop",
    "Kind",
    "LanguageModeling",
    "Objective",
    "Orpo",
    "Precision",
    "ProductConfidence",
    "Ramp",
    "Resources",
    "RewardModeling",
    "RunSpec",
    "Schedule",
    "Sft",
    "Sharding",
    "SimPo",
    "TrainingConfig",
]
