"""`LikenessPipeline` behind the app's seam: requests in, progress and previews out, cancel in every block."""

from __future__ import annotations

import io
import time
from pathlib import Path

import torch
from PIL import Image

from wan_app.errors import ModelUnavailable
from wan_app.families.base import Output, cancel_points, numbers_of
from wan_app.likeness.pipeline import LikenessPipeline
from wan_app.types import Exporting, GenerationRequest, Loading, Reporter, Step

_CANCEL_AT = {"LikenessTransformerBlock", "UMT5Block", "VitBlock", "Enlarger", "CellHead"}
_JPEG_QUALITY = 80


class PocketRunner:
    """A loaded `LikenessPipeline` as a `families.base.Pipeline`."""

    def __init__(self, pipe: LikenessPipeline) -> None:
        self.pipe = pipe
        # Seconds that decoding took a frame, the last time; the tail of the ETA.
        self._decode_seconds = 0.02

    @classmethod
    def from_folder(cls, folder: Path, *, device: str = "cpu") -> PocketRunner:
        """Load `assets/pocket` or another folder of its kind.

        Raises:
            ModelUnavailable: the folder holds something else.
        """
        dtype = torch.bfloat16 if device != "cpu" or _fast_bf16() else torch.float32
        try:
            pipe = LikenessPipeline.from_pretrained(folder, torch_dtype=dtype)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise ModelUnavailable(f"pocket: {folder} cannot be loaded: {error}") from None
        pipe.to(device)
        return cls(pipe)

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """Encode, denoise, decode; see `families.base.Pipeline.generate`."""
        numbers = numbers_of(request)
        blocks = [
            module for part in self.pipe.components.values() if isinstance(part, torch.nn.Module)
            for module in part.modules() if type(module).__name__ in _CANCEL_AT
        ]
        times = [time.monotonic()]

        def on_step(index: int, total: int, clean: torch.Tensor) -> None:
            times.append(time.monotonic())
            each = (times[-1] - times[1 if index > 1 else 0]) / max(1, index - 1)
            eta = each * (total - index) + self._decode_seconds * numbers.num_frames
            report(Step(index=index, total=total, eta=eta, preview=self._preview(clean)))
            report.check()

        def on_decode() -> None:
            times.append(time.monotonic())
            report(Exporting("Decoding"))

        with cancel_points(blocks, report.check):
            report(Loading("Reading the prompt"))
            made = self.pipe(
                request.prompt, negative_prompt=request.negative_prompt,
                image=_open(request.image), last_image=_open(request.last_image),
                reference_images=[picture for one in request.characters for picture in map(_open, one.faces) if picture],
                height=numbers.height, width=numbers.width, num_frames=numbers.num_frames,
                num_inference_steps=numbers.num_inference_steps, guidance_scale=numbers.guidance_scale,
                # On the CPU, so that a seed means the same noise on every device.
                generator=torch.Generator("cpu").manual_seed(numbers.seed),
                on_step=on_step, on_decode=on_decode,
            )
        self._decode_seconds = (time.monotonic() - times[-1]) / numbers.num_frames
        return Output(frames=made.frames)

    def close(self) -> None:
        """Drop the model."""
        del self.pipe

    def _preview(self, clean: torch.Tensor) -> bytes:
        """The middle frame of the clean estimate as a JPEG, really decoded: it costs a few milliseconds."""
        middle = clean.shape[2] // 2
        frame = self.pipe.vae.decode(clean[:, :, middle : middle + 1], enlarge=False, still=False)[0, :, 0]
        shown = Image.fromarray(frame.add(1).mul(127.5).clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy())
        shown = shown.resize((shown.width * 4, shown.height * 4), Image.Resampling.BICUBIC)
        out = io.BytesIO()
        shown.save(out, "JPEG", quality=_JPEG_QUALITY)
        return out.getvalue()


def _open(path: Path | None) -> Image.Image | None:
    if path is None:
        return None
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware; others are much slower with it than with fp32."""
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
