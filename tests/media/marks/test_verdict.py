"""What findings mean: one row for each thing that a file may be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wan_app.media.marks.findings import CredentialsFound, FileFound, Findings, Kept, MarkFound, to_json
from wan_app.media.marks.verdict import Opinion, opinion, sound_made_here

A, B = "00aa11bb22", "00cc33dd44"
KEPT = (Kept(id=A, created="2026-11-02T10:00:00Z", model="pocket", sound_bound=A[2:]), Kept(id=B, sound_bound=B[2:]))
NONE, ABSENT, UNREAD = (MarkFound(state=state) for state in ("none", "absent", "unread"))  # type: ignore[arg-type]
WORN, OTHER = (MarkFound(state=state, strength=9.0) for state in ("unreadable", "other"))  # type: ignore[arg-type]
UNSIGNED = CredentialsFound(state="none")


def picture(identity: str = A, **said: Any) -> MarkFound:
    return MarkFound(state="ours", id=identity, strength=15.0, **{"places": (1, 1), **said})


def sound(identity: str = A) -> MarkFound:
    return MarkFound(state="ours", id=identity[2:], strength=9.0, places=(1, 1))


def signed(identity: str = A, **said: Any) -> CredentialsFound:
    stated = {"state": "valid", "ours": True, "id": identity, "this_app": True, "by_ai": True}
    return CredentialsFound(**{**stated, "sound_bound": identity[2:], **said})


def said(
    seen: MarkFound = NONE, heard: MarkFound = NONE, credentials: CredentialsFound = UNSIGNED, *,
    kept: tuple[Kept, ...] = KEPT, still: bool = False,
) -> Opinion:
    file = FileFound(kind="MP4", still=still, width=64, height=64, sound=heard.state != "absent")
    return opinion(Findings(file=file, picture=seen, sound=heard, credentials=credentials, kept=kept))


def words(one: Opinion) -> str:
    return " ".join((one.summary, *one.proven, *one.likely, *one.unknown, *one.disagreements))


def test_as_it_was_written() -> None:
    one = said(picture(), sound(), signed())
    assert one.verdict == "made here" and not one.disagreements and not one.unknown and not one.likely
    assert one.summary == "This video was made here on 2 November 2026, by AI, and nothing in it was changed since."
    assert len(one.proven) == 3


def test_re_encoded() -> None:
    one = said(picture(), sound())
    assert one.verdict == "made here" and "re-encoded or edited since" in one.summary
    assert "kept here" in words(one) and "a mark can be copied" in words(one) and not one.disagreements


def test_a_changed_byte() -> None:
    one = said(picture(), sound(), signed(state="invalid", ours=False, reasons=("assertion.bmffHash.mismatch",)))
    assert one.verdict == "made here" and any("changed after it was signed" in line for line in one.proven)
    assert any("what its Content Credentials state" in line for line in one.unknown)


@pytest.mark.parametrize(("seen", "heard", "credentials", "why"), [
    (picture(A), sound(B), UNSIGNED, "swapped"),
    (picture(A), NONE, UNSIGNED, "was made here with a marked sound"),
    (picture(A), WORN, UNSIGNED, "not this install's"),
    (picture(A), ABSENT, UNSIGNED, "it was removed"),
    (NONE, sound(A), UNSIGNED, "the picture has no mark"),
    (OTHER, sound(A), UNSIGNED, "the picture from another install"),
    (picture(A), sound(A), signed(B), "The credentials are those of another video"),
    (picture(A), sound(A), signed(B, state="invalid", ours=False), "The credentials are those of another video"),
    (ABSENT, sound(A), signed(B), "The credentials are those of another file"),
    (OTHER, ABSENT, signed(A), "the mark in the picture is not"),
    (picture(A, others=(B,), places=(2, 2)), ABSENT, UNSIGNED, "put together from several"),
])
def test_marks_that_disagree(seen: MarkFound, heard: MarkFound, credentials: CredentialsFound, why: str) -> None:
    one = said(seen, heard, credentials)
    assert one.verdict == "made here, but the marks disagree" and "marks disagree" in one.summary
    assert any(why in line for line in one.disagreements)


@pytest.mark.parametrize(("seen", "heard", "credentials"), [
    (picture(A), NONE, UNSIGNED),  # it never had a marked sound
    (picture(A), UNREAD, UNSIGNED),
    (UNREAD, sound(A), UNSIGNED),
    (ABSENT, sound(A), UNSIGNED),
    (NONE, sound(A), signed(A)),  # so small that it carries none, and signed so
])
def test_marks_that_do_not_disagree(seen: MarkFound, heard: MarkFound, credentials: CredentialsFound) -> None:
    one = said(seen, heard, credentials, kept=(Kept(id=A),))
    assert one.verdict == "made here" and one.disagreements == ()


def test_a_part_of_a_film() -> None:
    one = said(picture(places=(3, 8)), ABSENT, kept=())
    assert one.verdict == "made here in part" and "3 of 8 places" in one.summary
    assert any("Where the rest comes from" in line for line in one.unknown)
    # As it was written, its calm parts merely read badly.
    assert said(picture(places=(3, 8)), sound(), signed()).verdict == "made here"


@pytest.mark.parametrize(("seen", "heard", "credentials"), [
    (OTHER, WORN, UNSIGNED), (OTHER, NONE, UNSIGNED), (NONE, NONE, signed(B, ours=False)),
    (WORN, NONE, signed(B, ours=False)),
])
def test_from_another_install(seen: MarkFound, heard: MarkFound, credentials: CredentialsFound) -> None:
    one = said(seen, heard, credentials, kept=())
    assert one.verdict == "made by another install" and one.likely
    assert "anybody can make a certificate" in words(one) or credentials is UNSIGNED


@pytest.mark.parametrize(("seen", "heard"), [(WORN, NONE), (NONE, WORN), (ABSENT, WORN), (NONE, sound(A))])
def test_marked_but_worn(seen: MarkFound, heard: MarkFound) -> None:
    one = said(seen, heard, kept=())
    assert one.verdict == "marked, id unreadable" and not one.disagreements


def test_a_sound_alone_is_sure_only_where_its_file_is_known() -> None:
    assert sound_made_here(Findings(sound=sound(A), kept=KEPT)) == A
    assert sound_made_here(Findings(sound=sound(A), picture=picture(A))) == A
    unsure = Findings(sound=sound(A), kept=(KEPT[1],))
    assert sound_made_here(unsure) is None
    assert any("by chance once in tens of thousands" in line for line in opinion(unsure).likely)


def test_nothing_found_proves_nothing() -> None:
    one = said(kept=())
    assert one.verdict == "no mark found" and "proves nothing" in one.summary
    assert one.proven == one.likely == one.disagreements == () and "Whether it was made by AI" in words(one)


def test_somebody_elses_credentials_are_told_and_not_believed() -> None:
    one = said(credentials=CredentialsFound(state="valid", signer="Example Camera", by_ai=True), kept=())
    assert one.verdict == "no mark found" and "another maker" in one.summary
    assert "Example Camera" in words(one) and "its signer states so" in words(one) and "Who the signer is" in words(one)


def test_nothing_could_be_read() -> None:
    one = said(UNREAD, ABSENT, CredentialsFound(state="unread"), kept=())
    assert one.verdict == "no mark found" and "Nothing of this video could be checked" in one.summary
    assert "could not be read in the time allowed" in words(one)


def test_a_picture_and_a_sound_are_called_so() -> None:
    assert said(picture(), ABSENT, still=True, kept=(Kept(id=A),)).summary.startswith("This picture was")
    assert said(ABSENT, sound()).summary.startswith("This sound was")


def test_findings_come_back_from_json() -> None:
    found = Findings(
        file=FileFound(kind="MP4", width=3), picture=picture(others=(B,)), sound=sound(),
        credentials=signed(reasons=("x",)), kept=KEPT,
    )
    parts = {name: to_json(getattr(found, name)) for name in ("file", "picture", "sound", "credentials")}
    parts["kept"] = [to_json(one) for one in found.kept]  # type: ignore[assignment]
    assert Findings.from_json(json.loads(json.dumps({**parts, "later": 1}))) == found
    assert Findings.from_json({}).picture.state == "unread"


@pytest.mark.parametrize("created", [None, "", "never", "2026-99-99"])
def test_a_day_that_is_none_is_left_out(created: str | None) -> None:
    one = said(picture(), ABSENT, kept=(Kept(id=A, created=created),))
    assert one.summary.startswith("This video was made here, by AI.")
