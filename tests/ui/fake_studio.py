"""The studio with the fake model behind the real worker: `python -m tests.ui.fake_studio PORT DATA_DIR`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.ui.fake_model import RECIPE
from wan_app import services as services_module
from wan_app.families import weights
from wan_app.settings import Settings
from wan_app.ui import launch


def main(port: int, data_dir: Path) -> None:
    """Serve until stopped."""
    services_module.RECIPE = RECIPE
    real = weights.locate
    # The bundled weights may not be trained yet where these tests run; absent ones stay absent.
    weights.locate = lambda spec, *rest: data_dir if spec.bundled else real(spec, *rest)
    launch.serve(Settings(data_dir=data_dir, port=port))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
