"""Where a speech model's weights are, and whether they are whole, read without loading anything."""

from __future__ import annotations

from pathlib import Path

from wan_app.errors import ModelUnavailable
from wan_app.families.speech.spec import Part, SpeechSpec
from wan_app.families.weights.locate import check_tensors, read_json
from wan_app.settings import Settings


def locate(spec: SpeechSpec, settings: Settings) -> tuple[Path, ...]:
    """The folders of the model's parts, in order, each checked to be whole.

    Looks under `settings.weights_dir`, then in the hub cache.

    Raises:
        ModelUnavailable: a part is not here (names hub ids, size, licence and the ways to give it), or broken.
    """
    folders = []
    for part in spec.parts:
        folder = _installed(part, settings)
        if folder is None:
            raise ModelUnavailable(_not_here(spec, part))
        check_part(spec, part, folder)
        folders.append(folder)
    return tuple(folders)


def check_part(spec: SpeechSpec, part: Part, folder: Path) -> None:
    """Raise ModelUnavailable, naming the file, unless the part is all there and what it should be."""
    for name in part.files:
        if not (folder / name).is_file():
            raise ModelUnavailable(f"{spec.id}: {folder / name} is missing")
    found = read_json(spec, folder / "config.json").get("model_type")
    if found != part.model_type:
        raise ModelUnavailable(
            f"{spec.id}: {folder} holds a {found}; needed a {part.model_type} ({part.repository})"
        )
    check_tensors(spec, folder)


def _installed(part: Part, settings: Settings) -> Path | None:
    if settings.weights_dir is not None:
        folder = settings.weights_dir / part.repository
        if folder.is_dir():
            return folder
    # The hub library knows its own cache (HF_HOME and the rest); it asks no network here.
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(part.repository, "config.json", revision=part.revision)
    return Path(config).parent if isinstance(config, str) else None


def _not_here(spec: SpeechSpec, part: Part) -> str:
    names = " and ".join(one.repository for one in spec.parts)
    return (
        f"{spec.id}: weights of the speech model are not on this machine (no {part.repository}); needed: "
        f"{names} ({spec.download_bytes / 1e9:.1f} GB to download, {spec.licence}), fetched with: python -m "
        f"wan_app download {spec.id}; or given as WAN_APP_WEIGHTS_DIR/<owner>/<name> or in the hub cache"
    )
