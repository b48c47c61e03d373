"""Compares and assesses, without gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from w2s.artifacts import ArtifactStore
from w2s.errors import InvalidArgument
from w2s.jobs.threads import Check, run_stoppable
from w2s_evaluator.comparisons.arms import read_arms
from w2s_evaluator.comparisons.compare import ROLES, Comparison, compare
from w2s_evaluator.comparisons.deception import Assessment, assess
from w2s_evaluator.comparisons.figures import of_assessment, of_comparison
from w2s_evaluator.comparisons.metrics import ComparisonMetrics
from w2s_evaluator.comparisons.published import Published
from w2s_evaluator.comparisons.spec import ComparisonSpec, DeceptionSpec


class Comparisons:
    """Compares, in a thread of its own: a long evaluation delays none.

    Args:
        store: Where predictions are.
        published: Takes what is to be published.
        metrics: Counts what was compared.
    """

    def __init__(self, store: ArtifactStore, published: Published, metrics: ComparisonMetrics) -> None:
        self._store = store
        self._published = published
        self._metrics = metrics
        self._numbers = ThreadPoolExecutor(1, thread_name_prefix="compare")

    async def start(self) -> None:
        """Exports what was published before."""
        await self._published.start()

    async def stop(self) -> None:
        """Ends the thread."""
        self._numbers.shutdown()
        await self._published.stop()

    async def compare(self, spec: ComparisonSpec) -> Comparison:
        """Compares predictions or answers on the same examples.

        Raises:
            InvalidArgument: As `read_arms` and `compare`.
            NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
        """
        (found,) = await self._all([spec], "")
        return found

    async def compare_all(self, specs: Sequence[ComparisonSpec]) -> list[Comparison]:
        """Makes several comparisons; nothing is published unless all can be made. Raises as `compare`."""
        return await self._all(specs, "comparisons[{}].")

    async def assess(self, spec: DeceptionSpec) -> Assessment:
        """Says where a student is wrong; raises as `assess`."""
        found = await run_stoppable(self._numbers, lambda check: assess(self._store, spec, check))
        if spec.publish_as:
            await self._published.publish("deception", {spec.publish_as: of_assessment(found)})
        return found

    async def _all(self, specs: Sequence[ComparisonSpec], path: str) -> list[Comparison]:
        def work(check: Check) -> list[Comparison]:
            return [self._compare(spec, path.format(index), check) for index, spec in enumerate(specs)]

        found = await run_stoppable(self._numbers, work)
        named = {spec.publish_as: of_comparison(one) for spec, one in zip(specs, found, strict=True) if spec.publish_as}
        if named:
            await self._published.publish("comparison", named)
        for one in found:
            self._metrics.compared(one.pgr)
        return found

    def _compare(self, spec: ComparisonSpec, path: str, check: Check) -> Comparison:
        fields = {role: [f"{role}[{index}]" for index in range(len(getattr(spec, role)))] for role in ROLES}
        refs = {field: ref for role in ROLES for field, ref in zip(fields[role], getattr(spec, role), strict=True)}
        try:
            arms = read_arms(self._store, refs, check)
            return compare({role: [arms[field] for field in fields[role]] for role in ROLES}, spec, check)
        except InvalidArgument as error:
            raise InvalidArgument(path + error.field, error.problem) from error
