"""What a model is made of, as typed settings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from w2s.models.prompts import PromptTemplate


class Encoding(StrEnum):
    """How one or two texts become one vector of features.

    SINGLE: one sequence, the texts joined by the tokenizer's separator (a cross encoder).
    PAIR: each text encoded apart by one body, pooled and L2-normalised to u and v; features
    are [u, v, |u-v|, u*v, u.v].
    """

    SINGLE = "TEXT_ENCODING_SINGLE"
    PAIR = "TEXT_ENCODING_PAIR"


class Pooling(StrEnum):
    """How token vectors become one; the attention mask tells what is padding.

    AUTO is MEAN for an encoder and LAST_TOKEN for a causal body.
    """

    AUTO = "POOLING_UNSPECIFIED"
    MEAN = "POOLING_MEAN"
    FIRST_TOKEN = "POOLING_FIRST_TOKEN"  # noqa: S105 - no password
    LAST_TOKEN = "POOLING_LAST_TOKEN"  # noqa: S105


class BaseRef(BaseModel):
    """Where a body's weights are.

    Attributes:
        uri: An artifact's address, `hf://ORG/NAME`, `pkg://PACKAGE/FOLDER`, or
            `file:///FOLDER` or `file:///X.gguf` below an allowed root; `pkg://` may also
            name a `.gguf` file.
        digest: The digest an artifact must have; empty for any, and for what is none.
        revision: The hub revision; required with `hf://`, refused with the rest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str = Field(min_length=1)
    digest: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")
    revision: str = Field(default="", pattern=r"^[A-Za-z0-9._/-]{0,128}$")

    @model_validator(mode="after")
    def _revision_fits(self) -> BaseRef:
        if self.uri.startswith("hf://") != bool(self.revision):
            raise ValueError("revision is required with hf:// and refused with every other scheme")
        return self


class Lora(BaseModel):
    """Low-rank adapters (Hu et al. 2021), merged into the weights when training ends.

    Attributes:
        rank: The rank r.
        alpha: The scale; adapters are multiplied by alpha / r. 2 r when None.
        dropout: Dropout on the adapters' inputs.
        target_modules: Names of the modules to adapt; every linear layer of the body when empty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(default=8, ge=1, le=1024)
    alpha: float | None = Field(default=None, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = ()


class ModelSpec(BaseModel):
    """A pretrained model, and which part of it trains; the objective decides its head.

    Attributes:
        base: Where the weights are.
        layers: Keeps the first k transformer layers; 0 leaves the static token embeddings;
            None keeps all.
        train_from_layer: Trains layers from this one up; 0 trains the embeddings too, and
            `layers` freezes the whole body.
        encoding: How texts become features.
        pooling: How token vectors become one.
        max_length: Tokens a sequence is cut to.
        lora: Trains adapters in place of the body's weights.
        linear_probe: Trains the head alone.
        chat_template: Puts prompts into the tokenizer's chat template.
        dropout: Keeps dropout on while training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: BaseRef
    layers: int | None = Field(default=None, ge=0)
    train_from_layer: int = Field(default=0, ge=0)
    encoding: Encoding = Encoding.SINGLE
    pooling: Pooling = Pooling.AUTO
    max_length: int = Field(default=256, ge=1, le=32768)
    lora: Lora | None = None
    linear_probe: bool = False
    chat_template: bool = False
    dropout: bool = False

    @model_validator(mode="after")
    def _parts_fit(self) -> ModelSpec:
        if self.layers is not None and self.train_from_layer > self.layers:
            raise ValueError(f"train_from_layer must be in [0, layers = {self.layers}]")
        chosen = [self.lora is not None, self.linear_probe, self.train_from_layer > 0]
        if sum(chosen) > 1:
            raise ValueError("set one of lora, linear_probe and train_from_layer")
        return self


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if "" in names or len(set(names)) < len(names):
        raise ValueError("must be distinct and not empty")
    return names


# Classes by name, in the order of a model's outputs.
LabelNames = Annotated[tuple[str, ...], AfterValidator(_distinct)]


class ClassifierReading(BaseModel):
    """A model read by its classification head.

    Attributes:
        label_names: Names the classes, in the order of the model's outputs; empty for the
            model's own names.
        max_length: Tokens a text is cut to; 0 for the smaller of 512 and the model's positions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label_names: LabelNames = ()
    max_length: int = Field(default=0, ge=0, le=32768)


class RewardReading(BaseModel):
    """A model with one output, read as the reward of a completion.

    Attributes:
        chat_template: Puts prompt and completion into the tokenizer's chat template, as a
            user's and an assistant's turn; otherwise they are joined as they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    chat_template: bool = False


class LanguageModelReading(BaseModel):
    """A causal language model, read by log-probabilities and by generation.

    Attributes:
        prompt: How examples are put to it; None when it does not label.
        chat_template: Puts prompts into the tokenizer's chat template, as a user's turn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: PromptTemplate | None = None
    chat_template: bool = False


Reading = ClassifierReading | RewardReading | LanguageModelReading
