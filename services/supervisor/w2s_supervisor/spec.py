"""What a teacher is made of, as typed settings; the fields are the protos'."""

from __future__ import annotations

import re
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from w2s.models.prompts import PromptTemplate
from w2s.models.spec import BaseRef, ClassifierReading, LabelNames, LanguageModelReading, RewardReading

_CREDENTIAL = r"^[A-Za-z0-9_-]{0,64}$"
_TEACHER = re.compile(r"teachers/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)")


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelBackend(_Frozen):
    """A model that transformers runs in this process; at most one reading is set.

    Attributes:
        model: Where the weights are.
        classifier: Read by its classification head.
        reward: Read as a reward.
        language_model: Read as a language model.
    """

    model: BaseRef
    classifier: ClassifierReading | None = None
    reward: RewardReading | None = None
    language_model: LanguageModelReading | None = None

    @property
    def reading(self) -> ClassifierReading | RewardReading | LanguageModelReading | None:
        """How it is read; None for an artifact, which says it itself."""
        return self.classifier or self.reward or self.language_model


class TextGenerationApi(StrEnum):
    """Which HTTP interface a server is asked through; AUTO asks the server."""

    AUTO = "TEXT_GENERATION_API_UNSPECIFIED"
    TGI = "TEXT_GENERATION_API_TGI"
    OPENAI = "TEXT_GENERATION_API_OPENAI"


class ClassMethod(StrEnum):
    """How class probabilities are read off a server; AUTO tries what the server can."""

    AUTO = "CLASS_METHOD_UNSPECIFIED"
    TOP_TOKENS = "CLASS_METHOD_TOP_TOKENS"
    GRAMMAR = "CLASS_METHOD_GRAMMAR"
    PREFILL = "CLASS_METHOD_PREFILL"


class TextGenerationBackend(_Frozen):
    """A language model behind a text-generation server.

    Attributes:
        url: The server's address, below a configured endpoint.
        prompt: How examples are put to it; None when it does not label.
        api: Which interface it is asked through.
        model: Its name in OpenAI requests; empty for the server's only one.
        class_method: How class probabilities are read.
        max_concurrency: Requests in flight at once; 0 for 32.
        timeout_s: Seconds one request may take.
        credential: The file with its bearer token; empty for none.
    """

    url: str = Field(min_length=1, max_length=2048)
    prompt: PromptTemplate | None = None
    api: TextGenerationApi = TextGenerationApi.AUTO
    model: str = Field(default="", max_length=256)
    class_method: ClassMethod = ClassMethod.AUTO
    max_concurrency: int = Field(default=0, ge=0, le=1024)
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    credential: str = Field(default="", pattern=_CREDENTIAL)


class EnsembleRule(StrEnum):
    """How an ensemble makes one label of its members'."""

    MEAN = "ENSEMBLE_RULE_MEAN"
    MAJORITY = "ENSEMBLE_RULE_MAJORITY"


class EnsembleBackend(_Frozen):
    """Several registered teachers asked as one.

    Attributes:
        members: Their names, `teachers/<id>`.
        rule: How their answers become one.
    """

    members: tuple[str, ...] = Field(min_length=2, max_length=16)
    rule: EnsembleRule = EnsembleRule.MEAN

    @field_validator("members")
    @classmethod
    def _are_teachers(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        if any(not _TEACHER.fullmatch(member) for member in members):
            raise ValueError("must be names such as teachers/my-teacher")
        if len(set(members)) < len(members):
            raise ValueError("must be distinct")
        return members

    @property
    def member_ids(self) -> tuple[str, ...]:
        """The members' ids."""
        return tuple(member.removeprefix("teachers/") for member in self.members)


class InferenceBackend(_Frozen):
    """A classifier behind the Open Inference Protocol.

    Attributes:
        url: The server's address, below a configured endpoint: grpc, grpcs, http or https.
        model: The model's name there.
        model_version: Its version there; empty for the server's choice.
        label_names: The classes, in the order of the output's columns.
        text_input: The BYTES input for first texts.
        pair_input: The BYTES input for second texts; empty for a single-text model.
        output: The floating-point output, shape [N, C].
        logits: The output holds logits, not probabilities.
        timeout_s: Seconds one request may take.
        credential: The file with its bearer token; empty for none.
    """

    url: str = Field(min_length=1, max_length=2048)
    model: str = Field(pattern=r"^[A-Za-z0-9._-]{1,256}$")
    model_version: str = Field(default="", pattern=r"^[A-Za-z0-9._:-]{0,128}$")
    label_names: LabelNames = Field(min_length=2, max_length=64)
    text_input: str = Field(default="text", max_length=256)
    pair_input: str = Field(default="", max_length=256)
    output: str = Field(default="probabilities", max_length=256)
    logits: bool = False
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    credential: str = Field(default="", pattern=_CREDENTIAL)


class TeacherSpec(_Frozen):
    """What answers for a teacher; exactly one is set."""

    model: ModelBackend | None = None
    text_generation: TextGenerationBackend | None = None
    ensemble: EnsembleBackend | None = None
    inference: InferenceBackend | None = None

    @model_validator(mode="after")
    def _has_one(self) -> TeacherSpec:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"exactly one of {', '.join(TeacherSpec.model_fields)} must be set")
        return self

    @property
    def backend(self) -> ModelBackend | TextGenerationBackend | EnsembleBackend | InferenceBackend:
        """The one that is set."""
        found = self.model or self.text_generation or self.ensemble or self.inference
        assert found is not None
        return found
