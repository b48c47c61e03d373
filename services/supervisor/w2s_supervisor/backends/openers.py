"""Finds the opener for a spec."""

from __future__ import annotations

from dataclasses import dataclass

from w2s_supervisor.backends.ensemble import EnsembleOpener
from w2s_supervisor.backends.inference import InferenceOpener
from w2s_supervisor.backends.model import ModelOpener
from w2s_supervisor.backends.protocol import Backend, Identity
from w2s_supervisor.backends.text_generation import TextGenerationOpener
from w2s_supervisor.pool import Prepared
from w2s_supervisor.spec import TeacherSpec
from w2s_supervisor.teachers import Teacher


@dataclass(frozen=True)
class Openers:
    """One opener for each kind of backend."""

    model: ModelOpener
    text_generation: TextGenerationOpener
    ensemble: EnsembleOpener
    inference: InferenceOpener

    async def identify(self, spec: TeacherSpec) -> Identity:
        """Says who a teacher would be; see `Opener.identify`."""
        if spec.model:
            return await self.model.identify(spec.model, "spec.model")
        if spec.text_generation:
            return await self.text_generation.identify(spec.text_generation, "spec.text_generation")
        if spec.ensemble:
            return await self.ensemble.identify(spec.ensemble, "spec.ensemble")
        assert spec.inference is not None
        return await self.inference.identify(spec.inference, "spec.inference")

    async def prepare(self, teacher: Teacher) -> Prepared:
        """Fetches and verifies the weights of a teacher that runs here."""
        return await self.model.prepare(teacher.spec.model, teacher.identity) if teacher.spec.model else Prepared()

    async def open(self, teacher: Teacher, prepared: Prepared) -> Backend:
        """Makes a teacher ready to answer; see `Opener.open`."""
        spec, identity = teacher.spec, teacher.identity
        if spec.model:
            assert prepared.path is not None
            return await self.model.open(spec.model, prepared.path, teacher.name)
        if spec.text_generation:
            return await self.text_generation.open(spec.text_generation, identity)
        if spec.ensemble:
            return await self.ensemble.open(spec.ensemble, identity)
        assert spec.inference is not None
        return await self.inference.open(spec.inference, identity)
