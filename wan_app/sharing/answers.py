"""What the gate itself answers: refusals as JSON or as a small page, the page that asks for the password."""

from __future__ import annotations

from html import escape
from typing import Literal

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

# text: Gradio's page shows what an upload is answered as it is.
Kind = Literal["json", "html", "text"]

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>
:root{{color-scheme:light dark}}
body{{margin:0;min-height:100vh;display:grid;place-items:center;background:#faf9f7;color:#232325;
font:16px/1.5 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}}
main{{box-sizing:border-box;width:min(26rem,calc(100vw - 2rem));padding:2rem;background:#fff;
border:1px solid #e7e5df;border-radius:14px}}
h1{{margin:0 0 .4rem;font-size:1.25rem}}p{{margin:.4rem 0 1.1rem;color:#55534d}}
label{{display:block;font-weight:600;margin-bottom:.35rem}}
input{{box-sizing:border-box;width:100%;padding:.7rem .8rem;font:inherit;color:inherit;background:#faf9f7;
border:1px solid #d5d2c9;border-radius:9px}}
button{{width:100%;margin-top:1rem;padding:.75rem;font:inherit;font-weight:600;color:#fff;background:#0f766a;
border:0;border-radius:9px;cursor:pointer}}
:focus-visible{{outline:3px solid #3cbaa7;outline-offset:2px}}
.alert{{padding:.6rem .8rem;margin-bottom:1rem;border-radius:9px;background:#fdecea;color:#8a1c12}}
@media (prefers-color-scheme:dark){{body{{background:#101113;color:#d5d2c9}}main{{background:#18191b;
border-color:#2c2d30}}p{{color:#a09d94}}input{{background:#101113;border-color:#36373b}}
.alert{{background:#3a1512;color:#f3b8b1}}}}
</style></head><body><main>{body}</main></body></html>"""


def sign_in(*, wrong: str = "", status: int = 401) -> Response:
    """The page that asks for the password. It holds nothing of the studio itself."""
    alert = f'<div class="alert" role="alert">{escape(wrong)}.</div>' if wrong else ""
    body = (
        "<h1>Local Video Studio</h1><p>This studio is private. Its owner has the password; guests have a link.</p>"
        f'{alert}<form method="post" action="login"><label for="password">Password</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>'
        "<button>Open the studio</button></form>"
    )
    return HTMLResponse(_PAGE.format(title="Local Video Studio", body=body), status)


def refusal(status: int, message: str, *, kind: Kind = "json", wait: float = 0.0) -> Response:
    """One line on why not; `wait` seconds before another try has a chance."""
    headers = {"Retry-After": str(max(1, round(wait)))} if wait else {}
    if kind == "text":
        return PlainTextResponse(message, status, headers)
    if kind == "html":
        body = f"<h1>This did not work</h1><p>{escape(message)}.</p>"
        return HTMLResponse(_PAGE.format(title="Local Video Studio", body=body), status, headers)
    # `detail` is where Gradio's clients look.
    return JSONResponse({"error": message, "detail": message}, status, headers)
