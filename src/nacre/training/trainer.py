"""The training loop: a codec and its discriminators, step by step, from a recipe.

Letters in shapes: `B` batch, `C` channels, `T` samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..quantizers.base import Quantized
from . import checkpoint as store
from .adversary import Adversary, build_discriminators
from .augment import Augmenter
from .balancer import Balancer, BalancerConfig
from .batches import Batches
from .checkpoint import Checkpoint, Checkpoints
from .ema import Average
from .holding import hold
from .journal import Journal, Meter, plain
from .monitor import Alarms, SkipGuard, codebook_figures
from .precision import Stepper
from .recipe import Recipe, Weights
from .schedule import Clock, lr_factor, progress
from .spectra import Pair
from .terms import Terms

if TYPE_CHECKING:
    from accelerate import Accelerator

HEARD = 4  # validation clips that the journal shows


@dataclass(frozen=True)
class Material:
    """What a run learns from, and what it is judged by."""

    batches: Batches  # of [B, C, T]
    validation: Tensor  # [B, C, T], never learnt from as they stand
    noise: Augmenter | None = None  # what the codec hears on top, and should leave out
    noisy: Tensor | None = None  # [B, C, T], the validation clips as the codec hears them
    warnings: tuple[str, ...] = ()  # a sentence for each file that could not be used
    seconds: float = 0.0  # of sound in all

    def close(self) -> None:
        """Let go of what reads the sound."""
        self.batches.close()


class Trainer:
    """One run: codec, discriminators, optimizers, averages and what they have reached.

    The same on a CPU, on one GPU and on many: every process holds all of it and draws its own crops.
    """

    def __init__(self, recipe: Recipe, codec: Codec, material: Material, accelerator: Accelerator) -> None:
        self.recipe, self.accelerator, self.batches = recipe, accelerator, material.batches
        self.codec = hold(codec.to(accelerator.device).train(), recipe.held)
        self.average = Average(self.codec, recipe.ema)
        decay = recipe.weight_decay
        optimizer = torch.optim.AdamW(codec.parameters(), recipe.lr, recipe.betas, weight_decay=decay, fused=True)
        self.stepper = Stepper(codec, optimizer, recipe.precision, recipe.clip)
        self.terms = Terms(recipe, codec.info.sample_rate).to(accelerator.device)
        self.adversary = self._adversary() if adversarial(recipe, accelerator.device) else None
        self.balancer = Balancer(shares(recipe.weights)).to(accelerator.device) if recipe.balancer else None
        self.validation = material.validation.to(accelerator.device)
        self.noise, self.noisy = material.noise, self.validation if material.noisy is None else material.noisy
        self.generator = accelerator.prepare_model(self._compiled(codec))
        self.clock = Clock(accelerator.device)
        self.meter, self.guard, self.alarms = Meter(), SkipGuard(), Alarms()
        self.steps = 0  # taken so far
        self.saved = 0  # steps in the last checkpoint
        self.warming = 0  # steps that discriminators still learn alone
        self.done = 0.0  # share of the run that is over

    def _adversary(self) -> Adversary:
        model = build_discriminators(self.recipe).to(self.accelerator.device)
        prepared = self.accelerator.prepare_model(model)
        return Adversary(model, prepared, self.recipe)

    def _compiled(self, codec: Codec) -> Codec:
        if self.recipe.compile:  # in place, so that the weights keep their names; the quantizer decides as it goes
            codec.encoder.compile()
            codec.decoder.compile()
        return codec

    def run(self, journal: Journal, checkpoints: Checkpoints) -> None:
        """Train to the end of the recipe."""
        self.batches.reset_clock()
        self._look()
        while self.done < 1:
            self.step()
            self._look()
            journal.bar.advance(self.done)
            if self.steps % self.recipe.log_every == 0:
                self._log(journal)
            if self.steps % self.recipe.sample_every == 0:
                self._sample(journal)
            if self.steps % self.recipe.checkpoint_every == 0:
                self._save(journal, checkpoints)
        if self.saved != self.steps:
            self._save(journal, checkpoints)

    def _look(self) -> None:
        """See where the run stands: once a step, so that all processes see the same."""
        self.done = progress(self.recipe, self.steps, self.clock.agreed(self.steps))

    def step(self) -> None:
        """One batch: code it, teach the discriminators to tell, teach the codec to be like the original."""
        against = self.adversary if self.recipe.started(self.steps, self.done) else None
        self._set_lr(lr_factor(self.recipe, self.steps, self.done))
        real, heard = self._draw()
        if against and self.warming:
            self._warm(against, real, heard)
        else:
            with self.stepper.autocast():
                coded = self.generator(heard)
            wave = coded.wave.float()  # losses and their gradients want all digits
            if against and self._taught():
                self.meter.add(against.learn(real, wave))
            self._teach(real, wave, coded.quantized, against)
            self.average.update(self.codec, self.steps)
        self.steps += 1

    def _draw(self) -> tuple[Tensor, Tensor]:
        """A batch, and what the codec hears of it."""
        if self.noise is None:
            real = next(self.batches)
            return real, real
        place = self.batches.crops.samples
        real = next(self.batches)
        return self.noise.beside(real, place)

    def _taught(self) -> bool:
        """Whether the discriminators learn at this step: evenly spread where they sit some out."""
        share = self.recipe.discriminator_share
        return math.floor((self.steps + 1) * share) > math.floor(self.steps * share)

    def _warm(self, against: Adversary, real: Tensor, heard: Tensor) -> None:
        """Fresh discriminators learn to judge a codec that is good already, and that stands still meanwhile."""
        with torch.no_grad():
            wave = self.average.model(heard).wave.float()
        self.meter.add(against.learn(real, wave))
        self.warming -= 1

    def _teach(self, real: Tensor, wave: Tensor, quantized: Quantized, against: Adversary | None) -> None:
        """One step of the codec."""
        with self.stepper.autocast():
            losses = self.terms(Pair(real, wave))
            if against:
                losses |= against.judge(real, wave)
            beside = self.terms.beside(quantized)
        figures = self._backward(losses, wave, beside)
        norm = self.stepper.step()
        self.guard.see(norm)
        self.meter.add({**losses, **figures, "commitment": quantized.commitment, "gradient_norm": norm})

    def _backward(self, losses: Mapping[str, Tensor], wave: Tensor, beside: Tensor) -> dict[str, Tensor]:
        if self.balancer:
            return self.balancer.backward(losses, wave, beside, self.stepper.scale)
        loss = self.terms.weighted(losses) + beside
        self.stepper.backward(loss)
        return {"loss": loss}

    def _set_lr(self, factor: float) -> None:
        rates = [(self.stepper, self.recipe.lr)]
        if self.adversary:
            rates.append((self.adversary.stepper, self.recipe.discriminator_lr))
        for stepper, rate in rates:
            for group in stepper.optimizer.param_groups:
                group["lr"] = rate * factor

    def _log(self, journal: Journal) -> None:
        row = {"step": self.steps, "progress": self.done, "seconds": self.clock.seconds}
        row |= self._means() | codebook_figures(self.codec.quantizer)
        row |= {
            "lr": self.stepper.optimizer.param_groups[0]["lr"],
            "skipped": self.guard.skipped,
            "steps_per_second": self.batches.crops_per_second / self.recipe.batch,
            "crops_per_second": self.batches.crops_per_second * self.accelerator.num_processes,
            "wait_share": self.batches.wait_share,
        }
        journal.row(row)
        sizes = {"codebook_sizes": getattr(self.codec.quantizer, "codebook_sizes", ())}
        for sentence in self.alarms.check(self.steps, row | sizes):
            journal.warn(self.steps, sentence)
        self.batches.reset_clock()

    def _means(self) -> dict[str, float]:
        """Figures since the last row, over all processes."""
        means = self.meter.means()
        values = torch.tensor(list(means.values()), device=self.accelerator.device)
        return dict(zip(means, self.accelerator.reduce(values, "mean").tolist(), strict=True))

    @torch.no_grad()
    def validate(self) -> tuple[float, dict[str, float], Tensor]:
        """The averaged codec on clips it never learns from, all levels on: weighted loss, its terms, coded clips."""
        wave = self.average.model(self.noisy).wave
        terms = self.terms(Pair(self.validation, wave))
        return float(self.terms.weighted(terms)), {name: float(term) for name, term in terms.items()}, wave

    def _sample(self, journal: Journal) -> None:
        if self.accelerator.is_main_process:
            original, coded = (wave[:HEARD].float().cpu().numpy() for wave in (self.validation, self.validate()[2]))
            journal.sounds(self.steps, original, coded, self.codec.info.sample_rate)

    def _save(self, journal: Journal, checkpoints: Checkpoints) -> None:
        """A checkpoint: written by all processes, named by the first when all is there."""
        score = None
        if self.accelerator.is_main_process:
            score, terms, _ = self.validate()
            journal.row({"step": self.steps, **{f"validation/{name}": term for name, term in terms.items()}})
            folder = checkpoints.begin(self.steps)
            self.save(folder, score)
        self.accelerator.wait_for_everyone()
        own = {"random": store.random_state(), "meter": self.meter.state_dict()}
        store.write_own(checkpoints.unfinished(self.steps), self.accelerator.process_index, own)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            checkpoints.publish(self.steps)
        self.saved = self.steps

    def save(self, folder: Path, score: float | None = None) -> None:
        """Write all that the processes share."""
        for name, model in self._models().items():
            store.write_tensors(folder, name, model.state_dict())
        for name, stepper in self._steppers().items():
            store.write_tensors(folder, f"{name}_optimizer", store.optimizer_tensors(stepper.optimizer))
        (folder / store.RECIPE).write_text(self.recipe.to_toml(), "utf-8")
        state = {
            "step": self.steps,
            "seconds": self.clock.seconds,
            "score": plain(score),
            "data": self.batches.state_dict(),
            "skipped": self.guard.skipped,
            "alarms": sorted(self.alarms.on),
            "processes": self.accelerator.num_processes,
            "warming": self.warming,
            "scales": {name: stepper.state_dict() for name, stepper in self._steppers().items()},
        }
        store.write_state(folder, state)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on as if nothing had happened since `checkpoint`."""
        state = checkpoint.state
        for name, model in self._models().items():
            if name in ("generator", "average") or checkpoint.has(name):  # a sitting may be the first with the others
                model.load_state_dict(checkpoint.tensors(name))
        for name, stepper in self._steppers().items():
            if name == "generator" or checkpoint.has(name):
                store.restore_optimizer(stepper.optimizer, checkpoint.tensors(f"{name}_optimizer"))
                stepper.load_state_dict(state["scales"].get(name, {}))
        self.steps = self.saved = int(state["step"])
        self.warming = int(state.get("warming", 0))
        self.clock.resume(state["seconds"])
        self.batches.load_state_dict(state["data"])
        self.guard.skipped, self.alarms = state["skipped"], Alarms(state["alarms"], state["skipped"])
        if own := checkpoint.own(self.accelerator.process_index):
            store.restore_random(own["random"])
            self.meter.load_state_dict(own["meter"])

    def _models(self) -> dict[str, Any]:
        """What has a state dict, by the name of its file."""
        models: dict[str, Any] = {"generator": self.codec, "average": self.average.model}
        if self.adversary:
            models["discriminators"] = self.adversary.model
        if self.balancer:
            models["balancer"] = self.balancer
        return models

    def _steppers(self) -> dict[str, Stepper]:
        discriminators = {"discriminators": self.adversary.stepper} if self.adversary else {}
        return {"generator": self.stepper, **discriminators}


def adversarial(recipe: Recipe, device: torch.device) -> bool:
    """Whether a run on `device` has discriminators at all."""
    wanted = recipe.weights.adversarial > 0 or recipe.weights.feature > 0
    return bool(recipe.discriminators) and wanted and (device.type != "cpu" or recipe.adversarial_on_cpu)


def shares(weights: Weights) -> BalancerConfig:
    """The balancer's shares: those weights that are above zero, the quantizer's aside."""
    own = {name: weight for name, weight in vars(weights).items() if name not in ("commitment", "codebook")}
    return BalancerConfig({name: weight for name, weight in own.items() if weight and weight > 0})
