"""What is remembered of pages and calls: no values, not for long, and no more than Gradio needs."""

from __future__ import annotations

import gradio as gr
import pytest
from gradio.state_holder import StateHolder

from wan_app.ui.pages import Pages

CALL, PAGE = "0123456789abcdef" * 2, "k3j4h5g6f7"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def blocks() -> gr.Blocks:
    with gr.Blocks() as made:
        gr.Textbox("x", label="Prompt")
        gr.State(5)
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pages(blocks: gr.Blocks, clock: Clock) -> Pages:
    found = Pages(clock)
    found.set_blocks(blocks)
    return found


def test_no_values_are_kept(pages: Pages, blocks: gr.Blocks) -> None:
    prompt, opened = [one for one in blocks.blocks.values() if isinstance(one, (gr.Textbox, gr.State))]
    page = pages[PAGE]
    page._update_value_in_config(prompt._id, "a face")
    page[prompt._id] = gr.Textbox("y", render=False)
    page[opened._id] = 7
    assert list(page.components) == [], "else Gradio hands them out as a link"
    assert page[prompt._id].value == "y" and page[opened._id] == 7 and pages[PAGE] is page
    assert list(type(page).__mro__[1](blocks).components), "Gradio's own does keep them: this is still needed"


def test_a_call_is_soon_forgotten_and_a_page_after_an_hour(pages: Pages, clock: Clock) -> None:
    pages[CALL], pages[PAGE]
    clock.now = 100.0
    assert pages["other"] and CALL in pages
    clock.now = 150.0
    pages["other"]
    assert CALL not in pages and PAGE in pages and CALL not in pages.time_last_used
    clock.now = 3590.0
    pages[PAGE]
    clock.now = 3800.0
    pages[PAGE]
    assert PAGE in pages and "other" not in pages
    clock.now = 9000.0
    pages["new"]
    assert list(pages.session_data) == list(pages._used) == ["new"]


def test_the_most_that_gradio_allows_still_holds(pages: Pages) -> None:
    pages.capacity = 3
    for number in range(6):
        pages[f"page{number}"]
    assert len(pages.session_data) <= 4 and "page5" in pages


def test_it_is_what_gradio_expects() -> None:
    for name in ("set_blocks", "__getitem__", "__contains__", "update", "delete_all_expired_state", "delete_state"):
        assert hasattr(StateHolder, name)
