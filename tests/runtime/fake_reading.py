"""A reader of files which misbehaves as its request says: `python -m tests.runtime.fake_reading`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main() -> None:
    """Answer a first part, then do what is asked."""
    asked = json.loads(sys.stdin.readline())
    print(json.dumps({"first": {"pid": os.getpid()}}), flush=True)
    how = asked["how"]
    if how == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(json.dumps({"decoder": child.pid}), flush=True)
        time.sleep(600)
    if how == "crash":
        os._exit(139)
    if how == "garble":
        print('{"half": ', flush=True)
        print("[1, 2]\nnot json", flush=True)
    if how == "refuse":
        print(json.dumps({"error": {"field": "file", "got": "a.mp4 (text)", "needed": "a video"}}), flush=True)
        return
    if how == "complain":
        print(json.dumps({"error": {"message": "the keys are damaged"}}), flush=True)
        return
    if how == "wait":
        while not os.path.exists(asked["until"]):
            time.sleep(0.01)
    print(json.dumps({"last": True}), flush=True)


if __name__ == "__main__":
    main()
