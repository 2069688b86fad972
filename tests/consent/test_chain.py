"""A chain of records: what other hands did to it is told, what a power cut did to it is mended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wan_app.consent.chain import Chain
from wan_app.errors import StorageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "consent.jsonl"


@pytest.fixture
def written(file: Path) -> Path:
    """Five records."""
    add(Chain(file), *range(5))
    return file


def add(chain: Chain, *numbers: int) -> None:
    for number in numbers:
        with chain.writing() as (_, append):
            append({"kind": "test", "number": number})


def numbers(chain: Chain) -> list[int]:
    return [one["number"] for one in chain.records()]


def test_what_is_added_is_read_by_others(file: Path) -> None:
    one, other = Chain(file), Chain(file)
    assert numbers(one) == [] and not file.parent.exists()
    add(one, 1, 2)
    assert numbers(other) == [1, 2]
    add(other, 3)
    assert numbers(one) == [1, 2, 3] and one.check() == 3
    first, second, _ = (json.loads(line) for line in file.read_text().splitlines())
    assert second["previous"] == first["hash"] and first["id"] == first["hash"][:20]
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600


def changed(line: bytes) -> bytes:
    return line.replace(b'"number": 2', b'"number": 7')


def anew(line: bytes) -> bytes:
    """Changed, with a hash that fits the line itself."""
    from wan_app.consent.chain import _digest

    record = json.loads(changed(line))
    digest = _digest({name: value for name, value in record.items() if name not in ("id", "hash")})
    return json.dumps({**record, "id": digest[:20], "hash": digest}).encode() + b"\n"


@pytest.mark.parametrize("tamper", [
    lambda lines: [*lines[:2], changed(lines[2]), *lines[3:]],
    lambda lines: [*lines[:2], anew(lines[2]), *lines[3:]],
    lambda lines: [*lines[:2], *lines[3:]],
    lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    lambda lines: [*lines[:2], lines[2], *lines[2:]],
    lambda lines: lines[:4],
    lambda lines: lines[1:],
    lambda lines: [],
    lambda lines: [*lines, b'{"kind": "test"}\n'],
    lambda lines: [*lines[:2], b"\xff\x00\n", *lines[3:]],
    lambda lines: [*lines[:2], b"[]\n", *lines[3:]],
    lambda lines: [*lines[:4], lines[4][:-9]],
], ids=["changed", "hashed anew", "taken out", "moved", "doubled", "last gone", "first gone", "emptied", "added",
        "noise", "a list", "cut"])
def test_other_hands_are_told_and_nothing_more_is_written(written: Path, tamper: object) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join(tamper(lines)))  # type: ignore[operator]
    before = written.read_bytes()
    for use in (Chain(written).records, Chain(written).check, lambda: add(Chain(written), 9)):
        with pytest.raises(StorageError, match="^consent: got a record of consent that was changed by other hands"):
            use()
    assert written.read_bytes() == before


def test_a_change_behind_the_back_of_a_running_process_is_found_by_check(written: Path) -> None:
    chain = Chain(written)
    assert chain.check() == 5
    written.write_bytes(changed(written.read_bytes()))
    with pytest.raises(StorageError, match="line 3 is not as it was written"):
        chain.check()


def test_a_head_that_is_gone_or_false_is_told(written: Path) -> None:
    head = written.with_suffix(".head")
    known = head.read_text()
    for said in (None, "", "5", "x y", f"4 {known.split()[1]}", f"5 {'a' * 64}"):
        head.unlink() if said is None else head.write_text(said)
        with pytest.raises(StorageError, match="changed by other hands"):
            Chain(written).records()
    head.write_text(known)
    assert numbers(Chain(written)) == [0, 1, 2, 3, 4]


def test_a_line_cut_short_by_a_power_cut_is_no_record(written: Path) -> None:
    chain = Chain(written)
    assert len(chain.records()) == 5
    with written.open("ab") as torn:
        torn.write(b'{"kind": "test", "num')
    for one in (chain, Chain(written)):
        assert numbers(one) == [0, 1, 2, 3, 4]
    add(chain, 5)
    assert numbers(Chain(written)) == [0, 1, 2, 3, 4, 5]


def test_a_power_cut_between_line_and_head_loses_nothing(written: Path) -> None:
    head = written.with_suffix(".head")
    known = head.read_text()
    add(Chain(written), 5)
    head.write_text(known)
    chain = Chain(written)
    assert numbers(chain) == [0, 1, 2, 3, 4, 5]
    add(chain, 6)
    assert Chain(written).check() == 7


def test_a_full_disk_is_told_and_leaves_the_chain_whole(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    chain = Chain(written)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            add(chain, 5)
    add(chain, 6)
    assert numbers(Chain(written))[:5] == [0, 1, 2, 3, 4] and numbers(chain)[-1] == 6


def test_several_processes_write_one_chain(file: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from wan_app.consent.chain import Chain\n"
        "chain = Chain(Path(sys.argv[1]))\n"
        "for number in range(20):\n"
        "    with chain.writing() as (records, append): append({'kind': 'test', 'number': len(records)})\n"
        "    chain.records()\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", program, str(file)], stderr=subprocess.PIPE) for _ in range(3)]
    for one in workers:
        _, said = one.communicate(timeout=120)
        assert one.returncode == 0, said.decode()
    assert numbers(Chain(file)) == list(range(60))
