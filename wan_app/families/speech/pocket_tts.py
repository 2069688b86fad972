"""Pocket TTS (Kyutai): speech in a voice from a few seconds of it, fast on a CPU, through transformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_app.errors import InvalidRequest
from wan_app.families.base import Plan, cancel_points
from wan_app.families.parts.recording import Recording
from wan_app.families.speech.base import Speaker
from wan_app.families.speech.spec import Part, SpeechSpec
from wan_app.types import Reporter

if TYPE_CHECKING:
    import torch

SPECS = (
    SpeechSpec(
        id="pocket-tts",
        family="pocket_tts",
        title="Pocket TTS by Kyutai",
        licence="CC-BY-4.0",
        # The names that transformers gives for weights in its own layout; Kyutai's are in another one.
        parts=(
            Part(
                repository="eustlb/pocket-tts",
                model_type="pocket_tts",
                files=("config.json", "tokenizer.json", "processor_config.json", "chat_template.jinja"),
            ),
            Part(repository="eustlb/pocket-tts-audio-tokenizer", model_type="pocket_tts_audio_tokenizer"),
        ),
        languages=("en",),
        # 89.5 M of the speaker and 20.1 M of the audio tokenizer; fp32, computed from the architecture.
        parameters=109_500_000,
        download_bytes=438_000_000,
        sample_rate=24_000,
        max_reference_seconds=30.0,
    ),
)

_CANCEL_AT = {"PocketTTSDecoderLayer", "PocketTTSAudioTokenizerTransformerLayer"}
# What `PocketTTSProcessor` takes beside its parts, where the repository's numbers differ from its defaults.
_NUMBERS = ("short_text_max_words", "frames_after_eos_short_text", "frames_after_eos", "fade_in_duration")


def load(spec: SpeechSpec, plan: Plan, folders: tuple[Path, ...]) -> Speaker:
    """The loaded speaker.

    Args:
        folders: of the speaker and of its audio tokenizer. `PocketTTSProcessor.from_pretrained` would
            look for the second by the name of its repository, on the network.
    Raises:
        ModelUnavailable: a model lacks tensors.
    """
    import torch
    from transformers import (
        AutoTokenizer,
        PocketTTSAudioTokenizerModel,
        PocketTTSFeatureExtractor,
        PocketTTSForConditionalGeneration,
        PocketTTSProcessor,
    )

    from wan_app.families.weights.checkpoints import load_component
    from wan_app.families.weights.locate import read_json

    main, codec = folders
    stored = read_json(spec, main / "processor_config.json")
    processor = PocketTTSProcessor(
        PocketTTSFeatureExtractor(**(stored.get("feature_extractor") or {})),
        AutoTokenizer.from_pretrained(main, local_files_only=True),
        audio_tokenizer=load_component(PocketTTSAudioTokenizerModel, codec, "", torch.float32).to(plan.device),
        chat_template=(main / "chat_template.jinja").read_text(encoding="utf-8"),
        **{name: stored[name] for name in _NUMBERS if name in stored},
    )
    model = load_component(PocketTTSForConditionalGeneration, main, "", torch.float32).to(plan.device)
    return PocketTTSSpeaker(spec, model, processor)


class PocketTTSSpeaker:
    """A loaded `PocketTTSForConditionalGeneration` with its processor."""

    def __init__(self, spec: SpeechSpec, model: Any, processor: Any) -> None:
        self.spec, self.model, self.processor = spec, model, processor

    def speak(self, text: str, voice: Recording | None, *, seed: int, report: Reporter) -> Recording:
        """Encode the voice, then generate and decode sentence by sentence; see `base.Speaker.speak`."""
        import torch

        for token in self.processor.tokenizer.all_special_tokens:
            text = text.replace(token, " ")  # words of a person, never places in the prompt
        if not text.strip():
            raise InvalidRequest("say", "nothing that can be spoken", "words")
        with torch.no_grad(), torch.random.fork_rng(devices=[]), cancel_points(self._blocks(), report.check):
            torch.manual_seed(seed)
            latents = None if voice is None else self._listen(voice)
            spoken = [self._say(chunk, latents, report) for chunk in self.processor.split_text(text)]
        return Recording(torch.cat(spoken).clamp(-1, 1).numpy(), self.spec.sample_rate)

    def close(self) -> None:
        """Drop the model."""
        del self.model, self.processor

    def _blocks(self) -> list[Any]:
        parts = (self.model, self.processor.audio_tokenizer)
        return [one for part in parts for one in part.modules() if type(one).__name__ in _CANCEL_AT]

    def _listen(self, voice: Recording) -> torch.Tensor:
        """Latents (frames, latent_dim) of the voice."""
        codec, rate = self.processor.audio_tokenizer, self.spec.sample_rate
        heard = voice.at(rate).samples[: round(self.spec.max_reference_seconds * rate)]
        inputs = self.processor.feature_extractor(heard, sampling_rate=rate).to(codec.device)
        encoded = codec.encode(inputs["input_values"], inputs["padding_mask"])
        return encoded.latents[0][encoded.latents_mask[0].bool()].cpu()

    def _say(self, text: str, latents: torch.Tensor | None, report: Reporter) -> torch.Tensor:
        """The waveform (samples,) of one sentence or a few; fifty tokens is what the model was trained on."""
        report.check()
        content = [{"type": "text", "text": text}]
        if latents is not None:
            content.insert(0, {"type": "audio"})
        prompt = self.processor.apply_chat_template([{"role": "user", "content": content}])
        inputs = self.processor(
            text=[prompt], audio_prompt_latents=None if latents is None else [latents], return_tensors="pt"
        )
        made = self.model.generate(**inputs.to(self.model.device), return_dict_in_generate=True)
        return self.processor.decode(made.audio_latents, made.audio_latents_mask)[0]
