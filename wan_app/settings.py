"""One frozen Settings; the only reader of os.environ."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_data_path

from wan_app.types import LabelPlace

_OFF = ("0", "off", "no", "false")
ASSETS = Path(__file__).resolve().parent.parent / "assets"


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Who besides this computer reaches the page, and how; see `wan_app.sharing`.

    `trusted_proxies` are addresses or networks whose X-Forwarded-* headers are believed; `hosts` names
    (beside this computer's own) under which the page may be opened; `root_path` the sub-path at which a
    proxy shows it. `space` is the host name of a Hugging Face Space.
    """

    share: bool = False
    new_password: bool = False
    # Given by whoever starts the studio; only its hash is kept.
    password: str | None = field(default=None, repr=False)
    metrics_token: str | None = field(default=None, repr=False)
    trusted_proxies: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    root_path: str = ""
    space: str = ""

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Sharing:
        """WAN_APP_SHARE, WAN_APP_PASSWORD, WAN_APP_METRICS_TOKEN, WAN_APP_TRUSTED_PROXIES, WAN_APP_HOSTS,
        WAN_APP_ROOT_PATH (or GRADIO_ROOT_PATH), and what a Space says of itself."""
        return cls(
            share=env.get("WAN_APP_SHARE", "") not in ("", "0"),
            password=env.get("WAN_APP_PASSWORD") or None, metrics_token=env.get("WAN_APP_METRICS_TOKEN") or None,
            trusted_proxies=_listed(env.get("WAN_APP_TRUSTED_PROXIES", "")),
            hosts=_listed(env.get("WAN_APP_HOSTS", "")),
            root_path=env.get("WAN_APP_ROOT_PATH") or env.get("GRADIO_ROOT_PATH", ""),
            space=env.get("SPACE_HOST") or env.get("SPACE_ID", ""),
        )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where things are and how the app is reached.

    Everything a user made lives under `data_dir`. `weights_dir` holds models in hub layout
    (`<owner>/<name>`); without it the hub's own cache is looked at.
    """

    data_dir: Path
    weights_dir: Path | None = None
    device: str | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    # Seconds without a sign of life after which a worker is ended; None leaves it to the model's row.
    stall_seconds: float | None = None
    # PEM files of a certificate and key of the user's own, to sign Content Credentials with.
    sign_cert: Path | None = None
    sign_key: Path | None = None
    sharing: Sharing = Sharing()
    # Whether the log may tell what people wrote.
    log_prompts: bool = False

    # How long a statement of consent holds.
    consent_days: int = 365
    # Whether `policy.REFUSE` is asked.
    refuse: bool = True
    # The visible label on videos; guests' videos have one in any case.
    label: LabelPlace = "off"
    # ASCII only, for the font that Pillow brings knows nothing else.
    label_text: str = "AI generated"

    # Bytes that an owner's videos may take; None for no limit (the gallery can set another).
    quota_bytes: int | None = None
    # Bytes that quantized copies of weights may take; those not used for longest go first.
    quantized_bytes: int = 120_000_000_000
    # Where the page finds LoRAs, by their names; None for `data_dir`/loras.
    loras_folder: Path | None = None

    @property
    def local(self) -> bool:
        """Whether only this computer reaches the page; not so on a Space or in a container."""
        return self.host in ("127.0.0.1", "localhost", "::1") and not self.sharing.share

    @property
    def ledger_file(self) -> Path:
        return self.data_dir / "ledger.sqlite3"

    @property
    def library_file(self) -> Path:
        """Pins, the cast, the limit of space."""
        return self.data_dir / "library.sqlite3"

    @property
    def inputs_dir(self) -> Path:
        return self.data_dir / "inputs"

    @property
    def outputs_dir(self) -> Path:
        return self.data_dir / "outputs"

    @property
    def cache_dir(self) -> Path:
        """What can be made again: embeddings of prompts, quantized copies of weights."""
        return self.data_dir / "cache"

    @property
    def loras_dir(self) -> Path:
        return self.loras_folder or self.data_dir / "loras"

    @property
    def pins_file(self) -> Path:
        """The commits of repositories that weights were fetched from, each kept to from then on."""
        return self.data_dir / "pins.json"

    @property
    def logs_dir(self) -> Path:
        return self.data_dir / "logs"

    @property
    def servers_dir(self) -> Path:
        return self.data_dir / "servers"

    @property
    def consent_file(self) -> Path:
        return self.data_dir / "consent.jsonl"

    @property
    def keys_dir(self) -> Path:
        """Secrets of this install: no export of a user's data may take them along."""
        return self.data_dir / "keys"

    @property
    def sharing_file(self) -> Path:
        """Hash of the password, guest links, sessions."""
        return self.keys_dir / "sharing.sqlite3"

    @property
    def sidecars_dir(self) -> Path:
        """What leads from a watermark back to the credentials of a file that lost them."""
        return self.data_dir / "sidecars"

    @property
    def receipts_dir(self) -> Path:
        """What workers finished and the ledger may not know yet."""
        return self.data_dir / "receipts"

    @property
    def windows_dir(self) -> Path:
        """The finished parts of long clips that are being made."""
        return self.data_dir / "windows"

    @classmethod
    def from_environment(cls) -> Settings:
        """Read WAN_APP_DATA_DIR, WAN_APP_WEIGHTS_DIR, WAN_APP_DEVICE, WAN_APP_STALL_SECONDS, WAN_APP_SIGN_CERT,
        WAN_APP_SIGN_KEY, and Gradio's own GRADIO_SERVER_NAME and GRADIO_SERVER_PORT (containers and Spaces
        set them); and what `Sharing` reads. WAN_APP_LOG_PROMPTS=1 lets the log tell what people wrote."""
        env = os.environ
        port = env.get("GRADIO_SERVER_PORT", "")
        # os.path's expanduser leaves "~nobody" as it is, where pathlib's raises.
        return cls(
            data_dir=Path(os.path.expanduser(env.get("WAN_APP_DATA_DIR") or user_data_path("wan-app"))),
            weights_dir=_path(env.get("WAN_APP_WEIGHTS_DIR")),
            device=env.get("WAN_APP_DEVICE"),
            host=env.get("GRADIO_SERVER_NAME", "127.0.0.1"),
            port=int(port) if port.isdigit() else None,
            stall_seconds=_seconds(env.get("WAN_APP_STALL_SECONDS", "")),
            sign_cert=_path(env.get("WAN_APP_SIGN_CERT")),
            sign_key=_path(env.get("WAN_APP_SIGN_KEY")),
            consent_days=_days(env.get("WAN_APP_CONSENT_DAYS", "")),
            refuse=env.get("WAN_APP_REFUSE", "").strip().lower() not in _OFF,
            label=_label(env.get("WAN_APP_LABEL", "").strip().lower()),
            label_text=env.get("WAN_APP_LABEL_TEXT") or cls.label_text,
            quota_bytes=_gigabytes(env.get("WAN_APP_QUOTA_GB", "")),
            quantized_bytes=_gigabytes(env.get("WAN_APP_QUANTIZED_GB", "")) or cls.quantized_bytes,
            loras_folder=_path(env.get("WAN_APP_LORAS_DIR")),
            sharing=Sharing.from_environment(env),
            log_prompts=env.get("WAN_APP_LOG_PROMPTS", "") not in ("", "0"),
        )


def _listed(text: str) -> tuple[str, ...]:
    """Words between commas or spaces."""
    return tuple(text.replace(",", " ").split())


def _days(text: str) -> int:
    """A whole number of days from 1 on, a year for anything else."""
    return min(int(text), 36_500) if text.isdigit() and text.isascii() and int(text) else 365


def _label(text: str) -> LabelPlace:
    """A word that nobody knows was meant to be a label: it is one."""
    if not text or text in _OFF:
        return "off"
    return "start" if text == "start" else "corner"


def _path(text: str | None) -> Path | None:
    return Path(os.path.expanduser(text)) if text else None


def _gigabytes(text: str) -> int | None:
    """A positive number of gigabytes in bytes, None for anything else."""
    count = _seconds(text)
    return int(count * 1e9) if count else None


def _seconds(text: str) -> float | None:
    """A positive number of seconds, None for anything else."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None
