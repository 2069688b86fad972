"""How a request fits a machine: the fastest plan for which there is room, and what it will cost. No torch.

Numbers are predictions from `ModelSpec.costs`; `Measured` corrects them by what runs on this machine took.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from wan_app.devices import Machine
from wan_app.families.base import Plan
from wan_app.families.fit.costs import QUANTIZATIONS, Costs, costs_of
from wan_app.families.fit.measured import Measured
from wan_app.families.spec import ModelSpec
from wan_app.types import GenerationRequest

# On the card beside the model: the driver's context and what the allocator cannot hand out again. About
# as much as Python and torch take beside a model on the processor.
_CONTEXT = 700_000_000
# In RAM beside the model: Python, torch, and the card's libraries.
_PROCESS = 3_500_000_000
# In RAM while weights stream to the card: a shard as the hub stores it.
_SHARD = 5_000_000_000
# int8 products come out as int32 before they are scaled; nf4 weights are unpacked one layer at a time.
_ACTIVATIONS = {"none": 1.0, "int8": 1.4, "nf4": 1.05}
# Share of the data sheet's rate that a step reaches, and what quantized layers keep of it. Guesses
# near the published figures (notes/performance.md), until `bench-gpu` or a run here has measured.
_REACHED = 0.5
_SPEED = {"none": 1.0, "int8": 0.6, "nf4": 0.9}
# Worth of a plan: a smaller quantization must win this much time to be taken.
_QUALITY = {"none": 1.0, "int8": 1.05, "nf4": 1.2}
_BUS = 12e9  # bytes a second from RAM to the card
_DISK = 1e9  # bytes a second from disk
_CPU_TFLOPS = 0.2  # the processor beside a card, reading a prompt
_DECODE_FLOP = 1e6  # for each pixel of each frame, where the costs don't tell
_OVERLAP = 1.8  # tiles of 256 pixels every 192 are decoded where they meet more than once
# Free memory that is left alone: estimates err, and other programs breathe.
_SPARE = 0.97

WORDS = {
    "none": "all of it on the card", "text_encoder": "the prompt is read by the processor",
    "model": "one part on the card at a time", "group": "the model streams through the card block by block",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Work:
    """The numbers of a request that cost something.

    `pictures` are faces that become latent frames, `given` frames of the clip itself; `guidance_until` is
    the share of the steps that are guided.
    """

    width: int
    height: int
    num_frames: int
    num_inference_steps: int
    guided: bool
    pictures: int = 0
    guidance_until: float = 1.0
    given: int = 0

    @classmethod
    def of(cls, request: GenerationRequest) -> Work:
        """Of a resolved request."""
        return cls(
            width=request.width or 0, height=request.height or 0, num_frames=request.num_frames or 0,
            num_inference_steps=request.num_inference_steps or 1, guided=(request.guidance_scale or 1.0) > 1,
            pictures=sum(len(one.faces) for one in request.characters), guidance_until=request.guidance_until,
            given=sum(one is not None for one in (request.image, request.last_image)),
        )

    @property
    def pixels(self) -> int:
        return self.width * self.height * self.num_frames

    def passes(self, costs: Costs) -> float:
        """How often the transformer runs: guidance asks it twice, or more."""
        return self.num_inference_steps * (1 + costs.guided_passes * self.guided * self.guidance_until)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Bytes at the peak (`vram` is 0 without a card), bytes on disk, and minutes from start to file."""

    vram: int
    ram: int
    disk: int
    download: int
    minutes: float


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Whether and how a request fits. `reason` is a line for people; `instead` is what would fit if it does not."""

    model: str
    work: Work
    machine: Machine
    fits: bool
    plan: Plan
    predicted: Prediction
    reason: str
    measured: bool
    instead: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What `fit --json` prints."""
        plan = {name: getattr(self.plan, name) for name in ("device", "quantization", "offload", "vae_tiling")}
        return {
            "model": self.model, "fits": self.fits, "reason": self.reason, "instead": list(self.instead),
            "plan": plan, "predicted": asdict(self.predicted) | {"minutes": round(self.predicted.minutes, 2)},
            "measured": self.measured,
            "request": asdict(self.work), "machine": asdict(self.machine),
        }


def fit(
    spec: ModelSpec, work: Work, machine: Machine, *, costs: Costs | None = None, measured: Measured | None = None,
    here: bool = True, current: Plan | None = None,
) -> Fit:
    """The best plan that fits, or the smallest one with `fits` False.

    Args:
        costs: of the weights that are here, by default the row's.
        here: whether the weights are on this machine; else they count as download.
        current: the plan under which the model is loaded now; kept while a reload would not pay.
    """
    costs, measured = costs or costs_of(spec), measured or Measured()
    rated = [(plan, predict(spec, costs, plan, work, machine, measured=measured, here=here, loaded=plan == current))
             for plan in plans(spec, costs, machine)]
    fitting = [one for one in rated if has_room(one[1], machine)]
    if fitting:
        plan, cost = min(fitting, key=lambda one: one[1].minutes * _QUALITY[one[0].quantization])
    else:
        plan, cost = min(rated, key=lambda one: _overflow(one[1], machine))
    return Fit(
        model=spec.id, work=work, machine=machine, fits=bool(fitting), plan=plan, predicted=cost,
        reason=_reason(plan, cost, machine, bool(fitting)), measured=measured.knows(machine.name, spec.id, plan),
    )


def plans(spec: ModelSpec, costs: Costs, machine: Machine) -> Iterator[Plan]:
    """Every way to put the model on this machine."""
    card = machine.vram > 0
    for quantization in QUANTIZATIONS:
        # bitsandbytes works on cards; without one there is only RAM to put things in.
        if quantization != "none" and not (card and quantization in spec.memory):
            continue
        for offload in offloads(costs, quantization) if card else ("none",):
            for vae_tiling in (False, True) if costs.decode and costs.decode.whole else (True,):
                yield Plan(device=machine.device, quantization=quantization, offload=offload, vae_tiling=vae_tiling)


def offloads(costs: Costs, quantization: str) -> tuple[str, ...]:
    """The ways that work with a quantization, least first."""
    # bitsandbytes' int8 layers keep a second hold on their weights, so that nothing is freed as blocks go.
    return tuple(one for one in costs.offloads if not (one == "group" and quantization == "int8"))


def _overflow(cost: Prediction, machine: Machine) -> float:
    """By how much the scarcest of card, memory and disk is overdrawn: 1 is exactly full."""
    card = cost.vram / max(1.0, _usable(machine.vram_free)) if machine.vram else 0.0
    ram = cost.ram / max(1.0, _usable(machine.ram_free))
    return max(card, ram, cost.disk / max(1, machine.disk_free))


def _usable(free: int) -> float:
    return free * _SPARE


def has_room(cost: Prediction, machine: Machine) -> bool:
    """Whether all of it fits into what is free."""
    return _overflow(cost, machine) <= 1


def predict(
    spec: ModelSpec, costs: Costs, plan: Plan, work: Work, machine: Machine, *, measured: Measured | None = None,
    here: bool = True, loaded: bool = False,
) -> Prediction:
    """What a run under `plan` takes, corrected by what runs here took."""
    vram, ram = _memory(costs, plan, work)
    if not machine.vram:
        vram, ram = 0, vram + (costs.experts - 1) * costs.transformer.bytes()
    seconds = _seconds(costs, plan, work, machine, loaded=loaded)
    copy = 0 if plan.quantization == "none" else _weights(costs, plan.quantization)
    download = 0 if here else spec.download_bytes
    if measured:
        ratio = measured.ratio(machine.name, spec.id, plan)
        vram, ram, seconds = int(vram * ratio.vram), int(ram * ratio.ram), seconds * ratio.seconds
    return Prediction(
        vram=vram, ram=ram, disk=download + (0 if loaded else copy), download=download, minutes=seconds / 60
    )


def _memory(costs: Costs, plan: Plan, work: Work) -> tuple[int, int]:
    """Peak bytes on the card and in RAM."""
    name = plan.quantization
    one, text, rest = costs.transformer.bytes(name), costs.text_encoder.bytes(name), costs.rest.bytes()
    steps = activations(costs, work, streamed=plan.offload == "group") * _ACTIVATIONS[name]
    area = work.width * work.height
    decode = costs.decode.bytes(area, work.num_frames, tiling=plan.vae_tiling) if costs.decode else 0
    quantized = name != "none"
    # On the processor it is read in bf16: quantized layers are slow there.
    read = costs.text_encoder.bytes()
    loading = _SHARD if quantized else max(one, text)
    if plan.offload == "none":
        card, ram = one + text + max(steps, decode), loading
    elif plan.offload == "text_encoder":
        card, ram = one + max(steps, decode), max(loading, read)
    elif plan.offload == "model":
        card, ram = max(text, one + steps, decode), one + (_SHARD if quantized else text)
    else:
        # Two blocks at a time; but bitsandbytes packs a model on the card, whole.
        block = 2 * one / costs.layers
        card, ram = max(block + steps, decode, one if quantized else 0), one + max(_SHARD * quantized, read)
    if costs.whole:
        return costs.whole.get(name, 0), _PROCESS + loading + 6 * work.pixels
    ram += (costs.experts - 1) * one  # the other one waits
    # The clip in bytes, and once more while it is written.
    return int(_CONTEXT + rest + card), int(_PROCESS + ram + 6 * work.pixels)


def activations(costs: Costs, work: Work, *, streamed: bool = False) -> int:
    """Bytes of a forward pass in bf16, beside the weights."""
    each = (work.given and costs.token_bytes_given) or (streamed and costs.token_bytes_streamed) or costs.token_bytes
    each *= costs.batch if work.guided else 1
    return each * costs.tokens(work.width, work.height, work.num_frames, work.pictures)


def _weights(costs: Costs, quantization: str) -> int:
    return costs.experts * costs.transformer.bytes(quantization) + costs.text_encoder.bytes(quantization)


def _seconds(costs: Costs, plan: Plan, work: Work, machine: Machine, *, loaded: bool) -> float:
    """From start to file."""
    card = machine.vram > 0
    rate = machine.tflops * (_REACHED * _SPEED[plan.quantization] if card else 1.0)
    one = costs.transformer.bytes(plan.quantization)
    step = costs.tflop(costs.tokens(work.width, work.height, work.num_frames, work.pictures)) / rate
    if plan.offload == "group":
        step = 1.05 * max(step, one / _BUS)
    seconds = step * work.passes(costs)
    decoding = costs.decode.flop if costs.decode else _DECODE_FLOP
    seconds += work.pixels * decoding * (_OVERLAP if plan.vae_tiling else 1) / 1e12 / rate
    prompts = 2 if work.guided else 1
    reading = prompts * 2 * costs.text_encoder.parameters * costs.text_tokens / 1e12
    on_card = card and plan.offload in ("none", "model")
    seconds += reading / (rate if on_card else min(machine.tflops, _CPU_TFLOPS))
    if plan.offload in ("text_encoder", "group"):
        seconds += costs.text_encoder.bytes() / _DISK
    if plan.offload == "model":
        seconds += 3 * one / _BUS + costs.text_encoder.bytes(plan.quantization) / _DISK
    # As stored, whatever the quantization: else fewer bits would be taken for the sake of loading alone.
    return seconds + (0.0 if loaded else _weights(costs, "none") / _DISK)


# --- Words -----------------------------------------------------------------------------------


def _on_card(plan: Plan) -> bool:
    return plan.device.startswith("cuda")


def described(plan: Plan) -> str:
    """The plan in plain words."""
    weights = {"none": "full weights (bf16)", "int8": "weights of 8 bits", "nf4": "weights of 4 bits"}
    return f"{weights[plan.quantization]}, {WORDS[plan.offload]}" if _on_card(plan) else "on the processor"


def _reason(plan: Plan, cost: Prediction, machine: Machine, fits: bool) -> str:
    card = machine.vram > 0
    vram = (cost.vram, _usable(machine.vram_free), "on the card")
    ram = (cost.ram, _usable(machine.ram_free), "of memory")
    if fits:
        need, free, where = vram if card else ram
        return f"Fits, {described(plan)}: about {_gb(need)} of the {_gb(free)} {where} that can be used"
    checks = [ram, (cost.disk, machine.disk_free, "on disk")]
    short = [
        f"{_gb(need)} {where}, where {_gb(free)} can be used"
        for need, free, where in ([vram] if card else []) + checks if need > free
    ]
    return "Does not fit: needs at least " + "; and ".join(short)


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


# --- Where nothing fits ----------------------------------------------------------------------


def what_would(
    spec: ModelSpec, work: Work, machine: Machine, others: list[ModelSpec], **options: Any
) -> tuple[str, ...]:
    """Lines on what would fit in place of a request that does not: smaller, shorter, another model.

    Args:
        others: models to look at, that do the same task.
        options: as in `fit`, for `spec`.
    """
    lines = []
    sizes = sorted({(one.width, one.height) for one in spec.shapes}, key=lambda one: -one[0] * one[1])
    for width, height in sizes:
        smaller = replace(work, width=width, height=height)
        if smaller.pixels < work.pixels and fit(spec, smaller, machine, **options).fits:
            lines.append(f"a smaller size: {width}x{height}")
            break
    for frames in range(work.num_frames - spec.frame_step, spec.min_frames - 1, -spec.frame_step):
        if fit(spec, replace(work, num_frames=frames), machine, **options).fits:
            lines.append(f"fewer seconds: {spec.seconds_of(frames):.1f}")
            break
    for other in sorted(others, key=lambda one: -one.parameters):
        if other.id != spec.id and other.parameters < spec.parameters and fit(other, _for(other, work), machine).fits:
            lines.append(f"a smaller model: {other.id}")
            break
    return tuple(lines)


def _for(spec: ModelSpec, work: Work) -> Work:
    """The work with the defaults of another model."""
    shape = spec.shapes[0]
    return replace(
        work, width=shape.width, height=shape.height, num_frames=spec.default_frames,
        num_inference_steps=spec.num_inference_steps, guided=spec.guidance_scale > 1,
        pictures=min(work.pictures, spec.max_reference_images),
    )


# --- When memory runs out all the same -------------------------------------------------------


def step_down(plan: Plan, spec: ModelSpec, costs: Costs | None = None) -> tuple[Plan, str] | None:
    """The next plan that needs less, and words for what it changes; None at the end.

    First decoding in tiles, then moving parts off the card, then smaller weights. Size, length and
    seed are the user's and are never touched.
    """
    costs = costs or costs_of(spec)
    if not plan.vae_tiling:
        return replace(plan, vae_tiling=True), "decoding in tiles"
    if not _on_card(plan):
        return None
    strongest = offloads(costs, plan.quantization)[-1]
    if plan.offload != strongest:
        return replace(plan, offload=strongest), WORDS[strongest]
    for smaller in QUANTIZATIONS[QUANTIZATIONS.index(plan.quantization) + 1 :]:
        if smaller in spec.memory:
            # Of as many parts off the card as its own layers allow.
            offload = max(plan.offload, offloads(costs, smaller)[-1], key=costs.offloads.index)
            if offload in offloads(costs, smaller):
                stepped = replace(plan, quantization=smaller, offload=offload)
                return stepped, f"weights of {'8' if smaller == 'int8' else '4'} bits"
    return None
