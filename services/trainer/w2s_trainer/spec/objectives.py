"""What training minimises, and so what kind of model is made."""

from __future__ import annotations

from enum import StrEnum, auto

from pydantic import Field, model_validator

from w2s_trainer.spec.frozen import Frozen


class Kind(StrEnum):
    """What a run makes."""

    CLASSIFIER = auto()
    REWARD_MODEL = auto()
    LANGUAGE_MODEL = auto()


class Ramp(StrEnum):
    """How the weight of the auxiliary confidence loss rises."""

    LINEAR = "RAMP_LINEAR"
    STEP = "RAMP_STEP"


class ConflictTerm(StrEnum):
    """What an explicit conflict adds: the loss of the reversed pair, or fine-tuning on its worse half."""

    REVERSE = "CONFLICT_TERM_REVERSE"
    SFT = "CONFLICT_TERM_SFT"


class Averaging(StrEnum):
    """What a mean over a batch of completions gives the same weight."""

    TOKENS = "AVERAGING_TOKENS"
    COMPLETIONS = "AVERAGING_COMPLETIONS"


class CrossEntropy(Frozen):
    """Cross-entropy to the labels; `harden` takes their most probable class first."""

    harden: bool = False


class AuxiliaryConfidence(Frozen):
    """The auxiliary confidence loss (Burns et al. 2023, section 4.3.2, appendix A.4).

    Attributes:
        alpha_max: Weight of the student's own predictions once warmed up.
        warmup_fraction: Share of training over which it rises; None for what the paper (linear)
            or the published code (step) takes.
        ramp: How it rises.
    """

    alpha_max: float = Field(default=0.5, ge=0, le=1)
    warmup_fraction: float | None = Field(default=None, ge=0, le=1)
    ramp: Ramp = Ramp.LINEAR

    @property
    def warmup(self) -> float:
        """The share of training over which the weight rises."""
        if self.warmup_fraction is not None:
            return self.warmup_fraction
        return 0.2 if self.ramp is Ramp.LINEAR else 0.1


class ProductConfidence(Frozen):
    """The product of confidences (openai/weak-to-strong): powers of weak labels and of the student."""

    alpha: float = Field(default=1.0, ge=0)
    beta: float = Field(default=1.0, ge=0)


class ConfidenceWindow(Frozen):
    """The confidence window (EleutherAI/w2s); a radius of None is the weak labels' median."""

    radius: float | None = Field(default=None, gt=0, le=1)


class ExplicitConflict(Frozen):
    """A term that rewards being wrong (Yang et al. 2024); it reads the ground truth."""

    weight: float = Field(default=0.5, gt=0)
    term: ConflictTerm = ConflictTerm.REVERSE


class RewardModeling(Frozen):
    """Bradley-Terry reward modelling; fields as `w2s.objectives.bradley_terry_loss` takes them."""

    harden: bool = False
    margin: float = Field(default=0.0, ge=0)
    centering: float = Field(default=0.0, ge=0)
    conflict: ExplicitConflict | None = None

    @model_validator(mode="after")
    def _term_fits(self) -> RewardModeling:
        if self.conflict is not None and self.conflict.term is ConflictTerm.SFT:
            raise ValueError(
                "conflict.term must be CONFLICT_TERM_REVERSE: a reward model has no tokens to fine-tune on"
            )
        return self


class Sft(Frozen):
    """Supervised fine-tuning on completions."""

    averaging: Averaging = Averaging.TOKENS


class LanguageModeling(Frozen):
    """Language modelling on all text, without labels."""


class Dpo(Frozen):
    """Direct preference optimisation; fields as `w2s.objectives.dpo_loss` takes them.

    Attributes:
        beta: 0.1 when None, and 5 with `length_normalized`.
        length_normalized: Takes mean log-probabilities in place of sums.
        label_smoothing: The share of pairs taken to be labelled the wrong way.
        sft_weight: The weight of the chosen completion's negative log-likelihood a token.
        conflict: Adds an explicit conflict.
    """

    beta: float | None = Field(default=None, gt=0)
    length_normalized: bool = False
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    sft_weight: float = Field(default=0.0, ge=0)
    conflict: ExplicitConflict | None = None

    @property
    def scale(self) -> float:
        """The beta in use."""
        return self.beta if self.beta is not None else 5.0 if self.length_normalized else 0.1


class SimPo(Frozen):
    """Simple preference optimisation; fields as `w2s.objectives.simpo_loss` takes them."""

    beta: float = Field(default=2.0, gt=0)
    gamma: float = Field(default=1.0, ge=0)
    conflict: ExplicitConflict | None = None


class Orpo(Frozen):
    """Odds ratio preference optimisation; the weight lambda."""

    weight: float = Field(default=0.1, ge=0)


Loss = (
    CrossEntropy
    | AuxiliaryConfidence
    | ProductConfidence
    | ConfidenceWindow
    | RewardModeling
    | Sft
    | LanguageModeling
    | Dpo
    | SimPo
    | Orpo
)


class Objective(Frozen):
    """What training minimises: exactly one of the losses."""

    cross_entropy: CrossEntropy | None = None
    auxiliary_confidence: AuxiliaryConfidence | None = None
    product_confidence: ProductConfidence | None = None
    confidence_window: ConfidenceWindow | None = None
    reward_modeling: RewardModeling | None = None
    sft: Sft | None = None
    language_modeling: LanguageModeling | None = None
    dpo: Dpo | None = None
    simpo: SimPo | None = None
    orpo: Orpo | None = None

    @model_validator(mode="after")
    def _one_loss(self) -> Objective:
        if len(self._set()) != 1:
            raise ValueError(f"set exactly one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def loss(self) -> Loss:
        """The loss that is set."""
        return next(iter(self._set().values()))

    @property
    def name(self) -> str:
        """Its field's name, such as `cross_entropy`."""
        return next(iter(self._set()))

    @property
    def kind(self) -> Kind:
        """What it makes."""
        if isinstance(self.loss, CrossEntropy | AuxiliaryConfidence | ProductConfidence | ConfidenceWindow):
            return Kind.CLASSIFIER
        return Kind.REWARD_MODEL if isinstance(self.loss, RewardModeling) else Kind.LANGUAGE_MODEL

    @property
    def has_conflict(self) -> bool:
        """Whether it reads the ground truth to reward being wrong."""
        return getattr(self.loss, "conflict", None) is not None

    def _set(self) -> dict[str, Loss]:
        return {name: loss for name in type(self).model_fields if (loss := getattr(self, name)) is not None}
