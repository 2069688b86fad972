"""Colours, type and the files of the look. System fonts only: nothing is fetched from elsewhere."""

from __future__ import annotations

from pathlib import Path

from gradio.themes import Base, Color

_HERE = Path(__file__).resolve().parent
FAVICON = _HERE / "favicon.svg"
_SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans",
         "sans-serif")
_MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "Consolas", "DejaVu Sans Mono", "monospace")
# One accent, a deep sea green; white on its 600 has a contrast of 5.9 to 1.
_SEA = Color(
    name="sea", c50="#eefbf8", c100="#d3f4ec", c200="#a9e8da", c300="#71d5c3", c400="#3cbaa7", c500="#1f9e8c",
    c600="#0f766a", c700="#115f57", c800="#124c47", c900="#133f3b", c950="#042523",
)
_PAPER = Color(
    name="paper", c50="#faf9f7", c100="#f3f2ee", c200="#e7e5df", c300="#d5d2c9", c400="#a09d94", c500="#6f6c65",
    c600="#55534d", c700="#3b3a37", c800="#232325", c900="#18191b", c950="#101113",
)


def theme() -> Base:
    """The theme for `launch`."""
    made = Base(
        primary_hue=_SEA, secondary_hue=_SEA, neutral_hue=_PAPER, font=list(_SANS), font_mono=list(_MONO),
        radius_size="lg", spacing_size="md", text_size="md",
    )
    return made.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="#2c2d30",
        block_border_width="1px",
        block_shadow="none",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_label_background_fill="white",
        block_label_background_fill_dark="*neutral_900",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="600",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        body_text_color="*neutral_800",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_200",
        input_border_color_dark="#36373b",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_placeholder_color="#8a877f",
        input_placeholder_color_dark="#77757a",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color="white",
        button_primary_text_color_dark="*primary_950",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="#3a3b3f",
        button_border_width="1px",
        button_large_radius="12px",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        checkbox_border_color="*neutral_400",
        checkbox_border_color_dark="*neutral_500",
        checkbox_label_background_fill="*neutral_50",
        checkbox_label_background_fill_dark="*neutral_950",
        checkbox_label_background_fill_selected="*primary_50",
        checkbox_label_background_fill_selected_dark="#12302d",
        checkbox_label_border_color_selected="*primary_500",
        checkbox_label_border_color_selected_dark="*primary_500",
        slider_color="*primary_500",
        slider_color_dark="*primary_400",
        layout_gap="14px",
    )


def css() -> str:
    """The style sheet for `launch`."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in ("studio.css", "library.css", "verify.css"))


def js() -> str:
    """The script for `launch`."""
    return (_HERE / "studio.js").read_text(encoding="utf-8")
