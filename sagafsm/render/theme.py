"""The one style of everything that is shown: its colours, in a light and a dark theme, and its rules."""

from __future__ import annotations

from collections.abc import Mapping

# Each tone has a colour of its words, and one behind them; each pair reads well in both themes (WCAG AA).
TONES = ("good", "now", "back", "asked", "quiet", "late", "bad", "none")

LIGHT: Mapping[str, str] = {
    "page": "#ffffff",
    "panel": "#f6f8fa",
    "text": "#1f2328",
    "dim": "#59636e",
    "line": "#d1d9e0",
    "edge": "#818b98",
    "good": "#116329",
    "good-bg": "#dafbe1",
    "now": "#0b4fb3",
    "now-bg": "#dbeafe",
    "back": "#0b5470",
    "back-bg": "#d6f1fa",
    "asked": "#5b21b6",
    "asked-bg": "#ede9fe",
    "quiet": "#424a53",
    "quiet-bg": "#e4e9ee",
    "late": "#734700",
    "late-bg": "#ffefb8",
    "bad": "#ffffff",
    "bad-bg": "#b91c1c",
    "none": "#59636e",
    "none-bg": "#ffffff",
}
DARK: Mapping[str, str] = {
    "page": "#0d1117",
    "panel": "#161c24",
    "text": "#e6edf3",
    "dim": "#9aa4af",
    "line": "#3d444d",
    "edge": "#6e7681",
    "good": "#7ee2a0",
    "good-bg": "#0f2d1a",
    "now": "#8ab8ff",
    "now-bg": "#10284d",
    "back": "#7fd4ef",
    "back-bg": "#0b2c3a",
    "asked": "#cdbdff",
    "asked-bg": "#2c2150",
    "quiet": "#bdc6d0",
    "quiet-bg": "#272e37",
    "late": "#f2cc60",
    "late-bg": "#3b2e06",
    "bad": "#ffffff",
    "bad-bg": "#b3261e",
    "none": "#9aa4af",
    "none-bg": "#0d1117",
}

# What a page around it says about its theme, before what the system says: JupyterLab, VS Code, others.
_LIGHT_SELECTORS = ("[data-jp-theme-light=true]", ".vscode-light", "html[theme=light]", ".light")
_DARK_SELECTORS = ("[data-jp-theme-light=false]", ".vscode-dark", "html[theme=dark]", ".dark")

# "&" stands for the card, twice its class: JupyterLab's own rules for tables and code in an output weigh less then.
_RULES = """
.sgf{box-sizing:border-box;max-width:1120px;padding:14px 16px;border:1px solid var(--line);border-radius:8px;
background:var(--page);color:var(--text);
font:13px/1.5 var(--jp-ui-font-family,system-ui,sans-serif);overflow-wrap:anywhere}
& p{margin:0 0 6px;font-size:inherit;color:inherit}
& .sgf-top{display:flex;flex-wrap:wrap;gap:8px;align-items:center;font-size:16px}
& .sgf-dim{color:var(--dim)}
& .sgf-head{margin:16px 0 6px;font-size:14px}
& .sgf-chips{display:flex;flex-wrap:wrap;gap:6px;margin:8px 0}
& .sgf-chip{display:inline-block;padding:1px 8px;border-radius:10px;font-size:12px;font-weight:600;line-height:1.5}
& code,.sgf.sgf.sgf :not(pre)>code{padding:1px 4px;border:0;border-radius:4px;background:var(--panel);
color:var(--text);font:12px/1.5 var(--jp-code-font-family,ui-monospace,monospace);white-space:pre-wrap}
& pre{margin:4px 0 8px;padding:8px 10px;border:1px solid var(--line);border-radius:6px;background:var(--panel);
overflow-x:auto}
& pre code{padding:0}
& ul{margin:0 0 6px;padding-left:20px}
& details{margin:6px 0}
& summary{cursor:pointer;color:var(--text)}
& details details{margin:4px 0}
& .sgf-wide{overflow-x:auto} .sgf-wide{overflow-x:auto}
& .sgf-wide+p{margin-top:10px}
& table{margin:4px 0;border:0;border-collapse:separate;border-spacing:2px;table-layout:auto;font-size:12px;
color:inherit}
& tr,& tbody tr:hover,& tbody tr:nth-child(n){background:none}
& th,& td{max-width:none;padding:2px 6px;border:0;text-align:left;vertical-align:top;line-height:1.4;color:inherit;
font-weight:400;white-space:normal}
& thead{border:0}
& thead th{color:var(--dim);vertical-align:bottom}
"""


def make_stylesheet(*sheets: str) -> str:
    """The style sheet, for a `<style>` within what it is about.

    `sheets` are the rules of what is shown there beside text and tables; "& " stands for the card in them too.
    """
    themes = [
        f".sgf{{{_declare_variables('light', LIGHT)}}}",
        f"@media (prefers-color-scheme:dark){{.sgf{{{_declare_variables('dark', DARK)}}}}}",
        f"{_scope_selectors(_LIGHT_SELECTORS)}{{{_declare_variables('light', LIGHT)}}}",
        f"{_scope_selectors(_DARK_SELECTORS)}{{{_declare_variables('dark', DARK)}}}",
    ]
    tones = [f"& .sgf-{tone}{{color:var(--{tone});background:var(--{tone}-bg)}}" for tone in TONES]
    outlined = "& .sgf-none{box-shadow:inset 0 0 0 1px var(--line)}"
    return "\n".join([*themes, _RULES.strip(), *tones, outlined, *(sheet.strip() for sheet in sheets)]).replace(
        "& ", ".sgf.sgf "
    )


def _declare_variables(scheme: str, colours: Mapping[str, str]) -> str:
    return f"color-scheme:{scheme};" + ";".join(f"--{name}:{colour}" for name, colour in colours.items())


def _scope_selectors(around: tuple[str, ...]) -> str:
    return ",".join(f"{selector} .sgf" for selector in around)
