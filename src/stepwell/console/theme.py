"""How the console looks: one style sheet of ours, in light and dark, without a font or a file from anywhere else."""

from pathlib import Path
from typing import Final

STYLE: Final = (Path(__file__).parent / "elements" / "console.css").read_text(encoding="utf-8")

SIGN_IN_STYLE: Final = (
    STYLE.partition("/* pages */")[0]
    + "body{display:grid;place-items:center;min-height:100vh}main{width:min(22rem,90vw)}h1{font-size:1.6rem}"
    "form{display:grid;gap:.6rem;background:var(--panel);border:1px solid var(--line);border-radius:12px}"
    "form{padding:1.4rem}"
    "input,button{font:inherit;padding:.6rem .8rem;border-radius:8px;border:1px solid var(--line-strong)}"
    "input{background:var(--bg);color:inherit}button{background:var(--accent);color:#fff;border:0;cursor:pointer}"
    "p[role=alert]{color:var(--failed);margin:0;min-height:1.4em}.hint{color:var(--muted);font-size:.85rem}"
)

THEME_SCRIPT: Final = """<script>
{ const chosen = localStorage.getItem("stepwell-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
  document.documentElement.lang = "en"; }
</script>"""
"""Before anything is drawn, so that a dark page does not flash white."""
