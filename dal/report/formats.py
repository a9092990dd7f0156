"""A table as text: for a terminal, in Markdown and in LaTeX."""

import re
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from dal.report.tables import Cell, Table

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # else an optional argument, at the start of a row
    "]": "{]}",
    "−": "$-$",
    "–": "--",
    "±": r"$\pm$",
    "×": r"$\times$",
    "√": r"$\surd$",
    "†": r"$^\dagger$",
    "*": "$^*$",
    "š": r"\v{s}",
}


def rich(table: Table) -> Group:
    """For a terminal; notes are numbered and lie below."""
    fitted = table.fitted()
    notes = fitted.notes()
    shown = RichTable(
        title=fitted.title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    for place, name in enumerate(fitted.header):
        shown.add_column(name, justify="left" if place == 0 else "right", overflow="fold")
    for row in fitted.rows:
        shown.add_row(
            *(
                Text(
                    cell.text + cell.marks + _references(cell, notes),
                    style="bold" if cell.is_best else "",
                )
                for cell in row
            )
        )
    return Group(shown, *(Text(line) for line in [*fitted.remarks, *_numbered(notes)]), "")


def markdown(table: Table, level: int = 2) -> str:
    """In GitHub's Markdown, with its heading, caption and notes.

    Args:
        table: Of any kind.
        level: Of the heading.
    """
    fitted = table.fitted()
    notes = fitted.notes()
    lines = [f"{'#' * level} {fitted.title}", "", markdown_text(fitted.caption), ""]
    lines.append(f"| {' | '.join(map(markdown_text, fitted.header))} |")
    lines.append(f"| {' | '.join(['---', *['---:'] * (len(fitted.header) - 1)])} |")
    for row in fitted.rows:
        cells = []
        for cell in row:
            text = markdown_text(cell.text)
            bold = f"**{text}**" if cell.is_best else text
            cells.append(bold + markdown_text(cell.marks) + _references(cell, notes))
        lines.append(f"| {' | '.join(cells)} |")
    for remark in [*fitted.remarks, *_numbered(notes)]:
        lines += ["", markdown_text(remark)]
    return "\n".join(lines) + "\n"


def document(tables: Sequence[Table], problems: Sequence[str]) -> str:
    """All tables in one Markdown text, what has to be known about the runs first."""
    parts = ["# Active learning report\n"]
    if problems:
        items = "\n".join(f"- {markdown_text(problem)}" for problem in problems)
        parts.append(f"## Read this first\n\n{items}\n")
    return "\n".join([*parts, *map(markdown, tables)])


def latex(table: Table) -> str:
    r"""As a ``table`` environment for ``\usepackage{booktabs}``, with a caption and a label."""
    fitted = table.fitted()
    notes = fitted.notes()
    columns = "l" + "r" * (len(fitted.header) - 1)
    body = [" & ".join(map(latex_text, fitted.header)) + r" \\", r"\midrule"]
    for row in fitted.rows:
        cells = []
        for cell in row:
            text = latex_text(cell.text)
            if cell.is_best:
                text = rf"\textbf{{{text}}}"
            references = ",".join(str(notes.index(note) + 1) for note in cell.notes)
            if references:
                references = rf"\textsuperscript{{{references}}}"
            cells.append(text + latex_text(cell.marks) + references)
        body.append(" & ".join(cells) + r" \\")
    below = [
        rf"\textsuperscript{{{place}}} {latex_text(note)}" for place, note in enumerate(notes, 1)
    ]
    remarks = [*map(latex_text, fitted.remarks), *below]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(fitted.caption)}}}",
            rf"\label{{tab:{fitted.name}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *([r"\par\smallskip\footnotesize\raggedright"] if remarks else []),
            *(rf"{remark}\par" for remark in remarks),
            r"\end{table}",
            "",
        ]
    )


def latex_text(text: str) -> str:
    r"""Plain text with what LaTeX would take for a command escaped.

    Example:
        >>> print(latex_text("bait_exp: +1.0 ± 0.2 (50%)"))
        bait\_exp: +1.0 $\pm$ 0.2 (50\%)
    """
    return "".join(LATEX.get(char, char) for char in text)


def markdown_text(text: str) -> str:
    r"""Plain text with what Markdown would take for markup escaped.

    Example:
        >>> print(markdown_text("bait_exp [top_classes=5]"))
        bait\_exp \[top\_classes=5\]
    """
    return re.sub(r"([\\|*_\[\]<>`])", r"\\\1", text)


def _numbered(notes: Sequence[str]) -> list[str]:
    return [f"{_superscript(place)} {note}" for place, note in enumerate(notes, 1)]


def _references(cell: Cell, notes: Sequence[str]) -> str:
    return "\u2009".join(_superscript(notes.index(note) + 1) for note in cell.notes)


def _superscript(number: int) -> str:
    return str(number).translate(SUPERSCRIPTS)
