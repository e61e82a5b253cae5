"""Loss and gradient of a training step as one CUDA graph."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from crystal_ldm.errors import ConfigError
from crystal_ldm.nn.trained_module import TrainedModule
from crystal_ldm.training.batches import StepStream
from crystal_ldm.training.lightning import LightningTraining

Shapes = tuple[torch.Size, ...]


class GraphedTraining(LightningTraining):
    """The training of a model on a GPU that gets a step's loss and gradient as one graph.

    Models of this size keep a GPU busy for a few microseconds an operation, less than a CPU
    takes to launch it. Each shape of batch is computed as ever when it is first met (which also
    compiles what `compile` asks for), captured the second time, and replayed from then on. Batches,
    random numbers and losses are those of steps without graphs, the latter to rounding.
    """

    def __init__(self, model: TrainedModule, stream: StepStream) -> None:
        super().__init__(model, stream)
        self.steps: dict[Shapes, CapturedStep | None] = {}  # None: met once
        self.replayed: CapturedStep | None = None
        self.pool: Any = None

    def setup(self, stage: str) -> None:
        """See that graphs can be had.

        Raises:
            ConfigError: unless it is trained on one CUDA GPU, each batch a step of its own and
                its gradient not scaled.
        """
        super().setup(stage)
        trainer = self.trainer
        if trainer.strategy.root_device.type != "cuda" or trainer.world_size > 1:
            raise ConfigError(
                "training.cuda_graphs needs one CUDA GPU; here the model is trained on "
                f"{trainer.world_size} x {trainer.strategy.root_device.type}. Leave it out."
            )
        if trainer.precision == "16-mixed" or trainer.accumulate_grad_batches != 1:
            raise ConfigError(
                "training.cuda_graphs takes gradients as they are: use precision bf16-mixed "
                f"instead of {trainer.precision}, and one batch a step instead of "
                f"{trainer.accumulate_grad_batches}."
            )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a step, from a graph where there is one."""
        self.replayed = step = self._captured(batch)
        if step is None:
            return super().training_step(batch, batch_idx)
        self.step_metrics = step.run(batch, self.step_generator().initial_seed())
        return self.step_metrics["loss"]

    def backward(self, loss: Tensor, *_: Any) -> None:
        """Compute the gradient, or take that of the graph."""
        if self.replayed is None:
            loss.backward()
        else:
            self.replayed.give_gradients()

    def _captured(self, batch: Any) -> CapturedStep | None:
        shapes = tuple(tensor.shape for tensor in tensors(batch))
        step = None
        if shapes in self.steps:
            step = self.steps[shapes]
            if step is None:
                # The graphs run one after the other, so that they can share memory.
                self.pool = self.pool or torch.cuda.graph_pool_handle()
                step = CapturedStep(self.model, batch, self.pool)
        self.steps[shapes] = step
        return step


class CapturedStep:
    """Loss and gradient for batches of one shape, captured from `module.calculate_loss`.

    Args:
        module: the model, on a CUDA GPU.
        batch: a batch on the GPU; its memory is the graph's input from now on.
        pool: memory that graphs share.

    Raises:
        ConfigError: if the step waits for the GPU, as a condition of the user's own may.
    """

    def __init__(self, module: Any, batch: Any, pool: Any) -> None:
        self.inputs = tensors(batch)
        self.generator = torch.Generator(module.device)
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(self.generator)
        for parameter in self.parameters:
            parameter.grad = None
        try:
            with torch.cuda.graph(self.graph, pool=pool):
                parts = module.calculate_loss(batch, self.generator)
                with torch.autocast("cuda", enabled=False):
                    parts["loss"].backward()
        except RuntimeError as error:
            raise ConfigError(
                "This model's training step cannot be captured as a CUDA graph "
                f"({str(error).splitlines()[0][:120]}): something in it waits for the GPU. Leave "
                "out training.cuda_graphs, or see that no condition reads values back."
            ) from error
        self.metrics = {name: value.detach() for name, value in parts.items()}
        self.gradients = [parameter.grad for parameter in self.parameters]

    def run(self, batch: Any, seed: int) -> dict[str, Tensor]:
        """Return the loss and its parts; they and the gradients are valid until the next run."""
        torch._foreach_copy_(self.inputs, tensors(batch))
        self.generator.manual_seed(seed)
        self.graph.replay()
        return self.metrics

    def give_gradients(self) -> None:
        """Hand the last run's gradients to the parameters."""
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient


def tensors(batch: Any) -> list[Tensor]:
    """Return all tensors of a batch made of dataclasses, dictionaries and tensors, in order."""
    if isinstance(batch, Tensor):
        return [batch]
    if dataclasses.is_dataclass(batch):
        parts = [getattr(batch, field.name) for field in dataclasses.fields(batch)]
    else:
        parts = list(batch.values()) if isinstance(batch, dict) else []
    return [tensor for part in parts for tensor in tensors(part)]
