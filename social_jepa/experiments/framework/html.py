"""An experiment's page, and the page over all experiments of a folder; both need no network and no script."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from agents.files import write_atomically
from social_jepa.experiments.framework import table
from social_jepa.experiments.framework.progress import duration
from social_jepa.experiments.framework.registry import EXPERIMENTS
from social_jepa.report.tables import escape

RESULTS = "results.json"
_STYLE = """
a { color: var(--accent); }
.scroll { max-height: none; }
.scroll td.name { text-align: left; white-space: normal; min-width: 11rem; }
.scroll tr.group th { text-align: left; color: var(--muted); padding-top: 18px; }
.missed { color: var(--refused); font-weight: 600; }
.met { color: var(--ok); }
.picture { margin: 0 0 20px; }
.picture img { display: block; max-width: 100%; height: auto; background: white;
  border-radius: 10px; border: 1px solid var(--line); }
.notes li { max-width: 46rem; margin: 4px 0; }
"""
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Social-JEPA: $title</title>
<style>
$style</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")
_BODY = Template("""<header>
<p class="kicker">Social-JEPA, experiment <code>$name</code></p>
<h1>$question</h1>
<div class="tiles">
<div><b>$met of $of</b><span>goals met</span><small>set beforehand: see the protocol</small></div>
<div><b>$seeds</b><span>seeds, from 0 up</span><small>$kind</small></div>
<div><b>$time</b><span>on one core</span><small>all parts and seeds</small></div>
</div>
</header>
<section>
<h2>Figures</h2>
<p class="lead">Scored on held-out samples. The interval is the middle 95&nbsp;% of 1,000 resamples of seeds
and samples; the null is what chance gives, the baseline what the method that it is
compared with gives.</p>
$goals
</section>
$pictures
$others
<section>
<h2>Protocol</h2>
$protocol
</section>
<section>
<h2>How it was made</h2>
<p>To run it again:</p>
<pre>$command</pre>
$mixed
<div class="columns">
<div><h3>Costs of one seed</h3>$costs</div>
<div><h3>Versions</h3>$versions</div>
</div>
<details><summary>All settings</summary><pre>$settings</pre></details>
<p class="note"><a href="results.json">results.json</a> · <a href="../index.html">all experiments</a></p>
</section>""")
_MIXED = (
    '<p class="note">Some parts were made by other versions of the source files than others; '
    "<code>--fresh</code> makes all of them anew.</p>"
)


def write_page(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write index.html of one experiment from its results document and the pictures beside it."""
    met, of = table.goals(document)
    first, others = table.goals_first(document["figures"])
    values = {
        "name": escape(document["name"]),
        "question": escape(document["question"]),
        "met": str(met),
        "of": str(of),
        "seeds": str(len(document["seeds"])),
        "kind": "a quick run: a smaller one" if document["quick"] else "of data and first weights",
        "time": duration(sum(document["seconds"].values()) * len(document["seeds"])),
        "goals": _figures(first),
        "others": _others(others, document["notes"]),
        "pictures": _pictures(folder, document["pictures"]),
        "protocol": protocol(document["protocol"]),
        "command": escape(document["command"]),
        "mixed": _MIXED if len(document["sources"]) > 1 else "",
        "costs": _costs(document),
        "versions": _pairs(document["versions"] | document["environment"]),
        "settings": escape(
            "\n".join(f"{key} = {json.dumps(value)}" for key, value in document["config"].items())
        ),
    }  # fmt: skip
    path = folder / "index.html"
    write_atomically(path, _dress(document["name"], _BODY.substitute(values)).encode())
    return path


def write_index(out: Path) -> Path:
    """Write index.html over all experiments whose results lie in a folder."""
    rows = []
    for document in found(out):
        met, of = table.goals(document)
        name, mark = escape(document["name"]), "met" if met == of else "missed"
        rows.append(
            f'<tr><td class="name"><a href="{name}/index.html">{name}</a></td>'
            f'<td class="{mark}">{met} of {of}</td><td class="name">{escape(document["question"])}</td></tr>'
        )
    body = '<header><p class="kicker">Social-JEPA</p><h1>Experiments</h1></header>\n' + _table(
        "experiments", ("experiment", "goals met", "question"), rows
    )
    path = out / "index.html"
    write_atomically(path, _dress("experiments", body).encode())
    return path


def found(out: Path) -> list[dict[str, Any]]:
    """Return the results documents that lie in a folder, in the order of the catalogue, then by name."""
    documents = []
    for path in sorted(out.glob(f"*/{RESULTS}")):
        try:
            document = json.loads(path.read_text())
            if document["name"] == path.parent.name and {"figures", "question", "seeds"} <= document.keys():
                documents.append(document)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # somebody's own file
    order = list(EXPERIMENTS)
    return sorted(
        documents, key=lambda told: order.index(told["name"]) if told["name"] in order else len(order)
    )


def protocol(text: str) -> str:
    """Return a docstring as HTML: paragraphs, and lists where lines begin with a hyphen."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        items = re.split(r"(?:^|\n)- ", block)
        lead = items[0].strip()
        blocks += [f'<p class="lead">{_words(lead)}</p>'] if lead else []
        if len(items) > 1:
            blocks.append(
                f'<ul class="notes">{"".join(f"<li>{_words(item)}</li>" for item in items[1:])}</ul>'
            )
    return "\n".join(blocks)


def _words(text: str) -> str:
    return re.sub(r"(`+)([^`]+)\1", r"<code>\2</code>", escape(" ".join(text.split())))


def _others(groups: Iterable[table.Group], notes: Iterable[str]) -> str:
    said = _figures(groups) if groups else ""
    heading = "All other figures" if said else "Notes"
    said += _list("notes", notes)
    return f"<section>\n<h2>{heading}</h2>\n{said}\n</section>" if said else ""


def _figures(groups: Iterable[table.Group]) -> str:
    rows: list[str] = []
    for name, figures in groups:
        if name or rows:
            rows.append(f'<tr class="group"><th colspan="{len(table.COLUMNS)}">{escape(name)}</th></tr>')
        for figure in figures:
            first, *others, met = table.cells(figure)
            mark = {True: "met", False: "missed", None: ""}[figure["met"]]
            inner = "".join(f"<td>{escape(cell)}</td>" for cell in others)
            rows.append(f'<tr><td class="name">{escape(first)}</td>{inner}<td class="{mark}">{met}</td></tr>')
    return _table("figures", table.COLUMNS, rows)


def _costs(document: Mapping[str, Any]) -> str:
    rows = [
        f'<tr><td class="name">{escape(part)}</td><td>{seconds:,.0f}</td>'
        f"<td>{document['flops'][part] / 1e12:,.3f}</td></tr>"
        for part, seconds in document["seconds"].items()
    ]
    return _table("costs", ("part", "seconds", "training TFLOP"), rows)


def _pairs(values: Mapping[str, Any]) -> str:
    rows = [
        f'<tr><td class="name">{escape(key)}</td><td>{escape(value)}</td></tr>'
        for key, value in values.items()
    ]
    return _table("versions", ("what", "version"), rows)


def _table(label: str, headings: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(
        f'<th scope="col"{" class=text" if place == 0 or text == "question" else ""}>{escape(text)}</th>'
        for place, text in enumerate(headings)
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _list(kind: str, texts: Iterable[str]) -> str:
    items = "".join(f"<li>{_words(text)}</li>" for text in texts)
    return f'<ul class="{kind}">{items}</ul>' if items else ""


def _pictures(folder: Path, names: Iterable[str]) -> str:
    shown = []
    for name in names:
        pixels = base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
        shown.append(
            f'<figure class="picture"><figcaption>{escape(name.replace("-", " "))} '
            f'(<a href="{name}.svg">SVG</a>)</figcaption>'
            f'<img src="data:image/png;base64,{pixels}" alt="{escape(name)}"></figure>'
        )
    return f"<section>\n<h2>Pictures</h2>\n{''.join(shown)}\n</section>" if shown else ""


def _dress(title: str, body: str) -> str:
    style = files("social_jepa.report").joinpath("static/report.css").read_text("utf-8") + _STYLE
    return _PAGE.substitute(title=escape(title), style=style, body=body)
