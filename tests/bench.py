"""What the app itself costs, measured on this machine: `make bench`.

Aims (issue 2, notes/gradio.md): page answers 200 within 4 s of CPU time and 250 MiB; a job's wall
time is at most 1.05 times that of its pipeline.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Print the table; with --json one object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=3, help="jobs to time after the first")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wan-app-bench-") as folder:
        figures = ui_start(Path(folder)) | jobs(Path(folder), options.runs)
    if options.json:
        import json

        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<46} {value}")


def ui_start(folder: Path) -> dict[str, Any]:
    """Cost of the server until the page answers, and what it has loaded by then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "WAN_APP_DATA_DIR": str(folder / "ui"), "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    server = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)], cwd=ROOT, env=env, stdout=subprocess.DEVNULL
    )
    try:
        while not _answers(f"http://127.0.0.1:{port}/"):
            if server.poll() is not None or time.monotonic() - began > 120:
                raise SystemExit("the studio did not start")
            time.sleep(0.05)
        wall, process = time.monotonic() - began, psutil.Process(server.pid)
        times = process.cpu_times()
        loaded = {Path(one.path).name for one in process.memory_maps()} if sys.platform == "linux" else set()
        return {
            "UI start, CPU seconds (aim 4)": round(times.user + times.system, 2),
            "UI start, wall seconds": round(wall, 2),
            "UI resident MiB (aim 250)": round(process.memory_info().rss / 2**20),
            "UI has torch loaded (aim no)": "yes" if any("torch" in name for name in loaded) else "no",
        }
    finally:
        server.terminate()
        server.wait(30)


def jobs(folder: Path, runs: int) -> dict[str, Any]:
    """Worker start, and what the app adds to the pipeline's own time, in a 2 s text job."""
    from wan_app.errors import ModelUnavailable
    from wan_app.services import Services
    from wan_app.settings import Settings

    services = Services(Settings(data_dir=folder / "jobs"))
    try:
        first = _job(services)
        warm = [_job(services) for _ in range(runs)]
    except ModelUnavailable as error:
        return {"jobs": f"not measured: {error}"}
    finally:
        services.close()
    ratios = sorted(wall / timings["generate"] for wall, timings in warm)
    middle = sorted(warm, key=lambda one: one[0])[len(warm) // 2]
    return {
        "worker start + model load, seconds": round(first[0] - first[1]["generate"] - first[1]["export"], 2),
        "first job, wall seconds": round(first[0], 2),
        "later jobs, wall seconds (median)": round(middle[0], 2),
        "  of these the pipeline": middle[1]["generate"],
        "  of these writing the MP4": middle[1]["export"],
        "job wall / pipeline wall (median, aim 1.05)": round(ratios[len(ratios) // 2], 3),
    }


def _job(services: Any) -> tuple[float, dict[str, float]]:
    """(wall seconds, timings) of one job."""
    from wan_app.types import GenerationRequest

    began = time.monotonic()
    job_id = services.submit(GenerationRequest(mode="text", prompt="a boy with a blue hat waves at the beach"))
    for _ in services.watch(job_id):
        pass
    wall, job = time.monotonic() - began, services.job(job_id)
    if job.result is None:
        raise SystemExit(f"the job failed: {job.error}")
    return wall, job.result.timings


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
