"""A public address for a week, through Gradio's relay: whoever has it reaches the studio's door."""

from __future__ import annotations

import contextlib
import io
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from gradio import networking, tunneling

from wan_app.errors import WanAppError


class Tunnel:
    """Open from the constructor to `close`.

    Raises:
        WanAppError: the relay cannot be reached, or its program cannot be fetched.
    """

    def __init__(self, port: int, folder: Path) -> None:
        # Gradio would write this into the folder one happens to stand in.
        networking.CERTIFICATE_PATH = str(folder / "relay.pem")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = networking.setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise WanAppError(f"share: no public address could be had ({said}); needed a way to gradio.live") from error
        self.url = f"https://{urlsplit(found).netloc}/"

    def close(self) -> None:
        """End it."""
        for one in tunneling.CURRENT_TUNNELS:
            with contextlib.redirect_stdout(io.StringIO()):
                one.kill()
