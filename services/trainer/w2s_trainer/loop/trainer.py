"""transformers' Trainer, stepping over whole optimiser batches of an objective."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from w2s.errors import DataLoss, FailedPrecondition
from w2s_trainer.loop.batches import Cutter, OptimizerBatches, loader
from w2s_trainer.loop.checkpoints import Checkpoints
from w2s_trainer.loop.contract import Criterion, Examples
from w2s_trainer.loop.course import Control, Course
from w2s_trainer.loop.measures import Tally
from w2s_trainer.loop.randomness import load_states, save_states
from w2s_trainer.loop.selection import Best
from w2s_trainer.loop.whole import WholeBatch

_WEIGHTS = "trained.safetensors"
_NAMED = 8
# Of sharded weights: gathered on the CPU.
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class ObjectiveTrainer(Trainer):
    """A Trainer that minimises a criterion over optimiser batches, cut to fit into memory.

    Args:
        model: What is trained; called with the inputs of a micro-batch.
        head: Parameters with a learning rate of their own.
        examples: What it is trained on.
        criterion: What is minimised.
        course: How.
        checkpoints: Where the state is kept.
        asked: Says when to keep it, and when to stop.
        best: The weights to keep in the end; None for the last.
        options: As transformers' Trainer takes them.

    Attributes:
        batches: The optimiser batches.
        stop: All processes have agreed to stop after this step.
        save_due: All processes have agreed to keep the state after this step.
        tell_due: All processes have agreed that it is long since figures were told.
        learning_rate: That of the last step, for the body where it trains.
        grad_norm: The gradient's norm at the last step, before it was clipped.
    """

    def __init__(
        self,
        model: nn.Module,
        head: list[nn.Parameter],
        examples: Examples,
        criterion: Criterion,
        course: Course,
        checkpoints: Checkpoints,
        asked: Control,
        best: Best | None,
        **options: Any,
    ) -> None:
        super().__init__(model=model, **options)
        self._module = model
        heads = set(map(id, head))
        self._head = {name for name, parameter in model.named_parameters() if id(parameter) in heads}
        self._frozen = _frozen_below(model)
        self._examples = examples
        self._criterion = criterion
        self._course = course
        self._checkpoints = checkpoints
        self._asked = asked
        self._best = best
        self._whole = WholeBatch(criterion, self.args.process_index, self.args.world_size)
        self._tally = Tally()
        self._rows: list[int] = []
        self._loss = torch.zeros(())
        self.batches = OptimizerBatches(len(examples.ids), course.batch_size, course.seed)
        self.stop = self.save_due = self.tell_due = False
        self.learning_rate = 0.0
        self.grad_norm = torch.zeros(())

    def create_accelerator_and_postprocess(self) -> None:
        """As transformers' Trainer; accelerate would not share weights out among processes without a GPU."""
        super().create_accelerator_and_postprocess()
        if self.args.fsdp_plugin_args is not None and self.args.world_size > 1 and not self.is_fsdp_enabled:
            self.accelerator.state.distributed_type = DistributedType.FSDP
            self.accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Whole optimiser batches in an order that seed and epoch decide, cut for this process."""
        cutter = Cutter(
            self._examples,
            self._course.token_budget,
            self.args.process_index,
            self.args.world_size,
            whole=self._criterion.whole_batch,
        )
        return loader(self.batches, cutter, len(self._examples.ids), pin_memory=self.args.device.type == "cuda")

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW, fused into one kernel, with a learning rate for the head."""
        if self.optimizer is None:
            trained = [(n, p) for n, p in (model or self._module).named_parameters() if p.requires_grad]
            groups = [
                {"params": [p for n, p in trained if n in self._head], "lr": self._course.head_learning_rate},
                {"params": [p for n, p in trained if n not in self._head], "lr": self._course.learning_rate},
            ]
            self.optimizer = torch.optim.AdamW(
                [group for group in groups if group["params"]],
                weight_decay=self._course.weight_decay,
                fused=True,
            )
        return self.optimizer

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward over one optimiser batch; returns this process's part of the loss."""
        model.train()
        for module in self._frozen:
            module.eval()
        batch: dict[str, Any] = self._prepare_inputs(inputs)
        progress = self.state.global_step / self.state.max_steps
        self._rows = batch["rows"]
        self._loss = torch.zeros((), device=self.args.device)
        self.learning_rate = self.create_optimizer().param_groups[-1]["lr"]
        weight = self._agree(batch)
        last = len(batch["micros"]) - 1
        for index, (micro, outputs) in enumerate(self._outputs(model, batch, progress)):
            with contextlib.nullcontext() if index == last else self.accelerator.no_sync(model):
                self._backward(outputs(), micro, batch["counted"][index], progress, weight)
        self._tally.add_step(len(batch["rows"]), batch["tokens"])
        return self._loss

    def _outputs(self, model: nn.Module, batch: dict[str, Any], progress: float) -> Iterator[tuple[Any, Any]]:
        """Each micro-batch, and what computes its outputs."""
        micros = batch["micros"]
        if not self._criterion.whole_batch:
            return ((micro, lambda micro=micro: model(**micro["inputs"])) for micro in micros)
        return iter(self._whole.outputs(model, batch, progress))

    def _backward(self, outputs: Tensor, micro: dict[str, Any], counted: bool, progress: float, weight: Tensor) -> None:
        terms = self._criterion.terms(outputs, micro["targets"], progress)
        loss = torch.stack([values.sum() for values in terms.values()]).sum() / weight
        # Gradients are averaged over the processes, and each has a part of the sum. A repeated row counts for nothing.
        self.accelerator.backward(loss * self.args.world_size * counted)
        self._loss += loss.detach() * counted
        self._tally.add_terms(terms, weight, counted=counted)
        self._tally.add_measures(self._criterion.measures(outputs.detach(), micro["targets"]), counted=counted)

    def _agree(self, batch: dict[str, Any]) -> Tensor:
        """What the rows of the whole batch weigh; and what any process wants to be done after this step."""
        counted = [m["targets"] for m, on in zip(batch["micros"], batch["counted"], strict=True) if on]
        weights = [self._criterion.weights(targets).sum() for targets in counted]
        weight = torch.stack(weights).sum() if weights else torch.zeros((), device=self.args.device)
        wanted = [self._asked.stop_requested(), self._asked.save_due(), self._tally.due]
        if self.args.world_size > 1:
            shared = self._total(torch.stack([weight, *weight.new_tensor(wanted)]))
            weight, wanted = shared[0], [value > 0 for value in shared[1:].tolist()]
        self.stop, self.save_due, self.tell_due = wanted
        return weight

    def told(self) -> dict[str, float]:
        """Figures of what all processes have trained on since the last time; each of them asks at once."""
        return self._tally.told(self._total)

    def leave_untimed(self) -> None:
        """Leaves out of the rates the time since figures were told, which something other than training took."""
        self._tally.begin()

    def _total(self, own: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.args.world_size > 1:
            dist.all_reduce(own)
        return own

    def agreed(self, figures: dict[str, float]) -> dict[str, float]:
        """What the first process has found: all are to choose alike, and their devices may round otherwise."""
        if self.args.world_size == 1:
            return figures
        shared = [figures]
        dist.broadcast_object_list(shared, src=0)
        return shared[0]

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The gradient's norm; nothing is trained on a loss or a gradient that is no number."""
        if grad_norm is None:
            # As transformers' Trainer, but it finds the norm by clipping to an infinite one.
            grad_norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        self.grad_norm = grad_norm.full_tensor() if isinstance(grad_norm, DTensor) else grad_norm
        self._total(self._loss)
        if not bool(torch.isfinite(self.grad_norm + self._loss)):
            ids = [self._examples.ids[row] for row in sorted(self._rows)]
            more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
            raise FailedPrecondition(
                f"at step {self.state.global_step + 1} the loss is {float(self._loss):g} and the gradient's norm "
                f"{float(self.grad_norm):g}: stopped before training on the examples {', '.join(ids[:_NAMED])}{more}; "
                "lower the learning rate, or look at these examples"
            )
        return self.grad_norm

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the Trainer's count takes the model's main input for one tensor."""
        return 0

    def trained_weights(self) -> dict[str, Tensor]:
        """Copies of what trains, on the CPU; of every weight where they are shared out among processes."""
        if self.is_fsdp_enabled:
            whole: dict[str, Any] = get_model_state_dict(self.model_wrapped, options=_WHOLE)
            return whole
        trained = (pair for pair in self._module.named_parameters() if pair[1].requires_grad)
        return {name: parameter.detach().to("cpu", copy=True).contiguous() for name, parameter in trained}

    def load_trained(self, weights: dict[str, Tensor]) -> None:
        """Puts back what `trained_weights` gave; not where weights are shared out."""
        own = {name: parameter for name, parameter in self._module.named_parameters() if parameter.requires_grad}
        if own.keys() != weights.keys():
            raise DataLoss("a checkpoint of this run holds other weights than its model trains")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(weights[name])

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Writes what trains; what is frozen is where it came from."""
        assert output_dir is not None
        if not self.args.should_save and not self.is_fsdp_enabled:
            return
        weights = self.trained_weights()
        if self.args.should_save:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            save_file(weights, Path(output_dir, _WEIGHTS))

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._checkpoints.scratch)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        step = self.state.global_step
        with self._checkpoints.writing(step):
            super()._save_checkpoint(model, trial)
            self._wait_for_all()
            if self.args.should_save:
                folder = self._checkpoints.scratch / f"checkpoint-{step}"
                if self._best is not None:
                    self._best.save(folder)
                self._checkpoints.keep(step, folder)
            self._wait_for_all()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self._best is not None:
            self._best.load(Path(resume_from_checkpoint))
        weights: dict[str, Any] = load_file(Path(resume_from_checkpoint, _WEIGHTS))
        if self.is_fsdp_enabled:
            set_model_state_dict(self.model_wrapped, weights, options=_WHOLE)
        else:
            self.load_trained(weights)

    def _save_rng_state(self, output_dir: str) -> None:
        save_states(Path(output_dir), self.args.process_index, self.args.world_size)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_states(Path(checkpoint), self.args.process_index, self.args.world_size)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        # Whole states, which any number of processes can go on from.
        state = get_optimizer_state_dict(self.model_wrapped, self._sharded_optimizer(), options=_WHOLE)
        if self.args.should_save:
            torch.save(state, Path(output_dir, OPTIMIZER_NAME))
            torch.save(self._schedule().state_dict(), Path(output_dir, SCHEDULER_NAME))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not self.is_fsdp_enabled or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        state, schedule = (
            torch.load(Path(checkpoint, name), map_location="cpu", weights_only=True)
            for name in (OPTIMIZER_NAME, SCHEDULER_NAME)
        )
        set_optimizer_state_dict(self.model_wrapped, self._sharded_optimizer(), state, options=_WHOLE)
        self._schedule().load_state_dict(schedule)

    def _schedule(self) -> LRScheduler:
        assert self.lr_scheduler is not None
        return self.lr_scheduler

    def _sharded_optimizer(self) -> torch.optim.Optimizer:
        wrapped: Any = self.optimizer
        optimizer: torch.optim.Optimizer = wrapped.optimizer
        return optimizer

    def _wait_for_all(self) -> None:
        if self.args.world_size > 1:
            dist.barrier()


def _frozen_below(model: nn.Module) -> list[nn.Module]:
    """The modules whose weights all come before the first that trains, and which so draw no dropout."""
    below = set()
    for parameter in model.parameters():
        if parameter.requires_grad:
            break
        below.add(parameter)
    return [module for module in model.modules() if (own := set(module.parameters())) and own <= below]
