"""Tables as text, in Markdown and in LaTeX."""

import re
from collections.abc import Sequence

from dal.report import answer
from dal.report.results import Results
from dal.report.table import Cell, Table

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


def markdown(table: Table) -> str:
    """In GitHub's Markdown, with its heading, caption and notes."""
    table = table.fit_to_page()
    notes = table.notes()
    lines = [f"## {table.title}", "", markdown_text(table.caption), ""]
    lines.append(f"| {' | '.join(map(markdown_text, table.header))} |")
    sides = ["---" if table.is_text(place) else "---:" for place in range(len(table.header))]
    lines.append(f"| {' | '.join(sides)} |")
    for row in table.rows:
        cells = []
        for cell in row:
            text = markdown_text(cell.text)
            if cell.link:
                text = f"[{text}](<{cell.link}>)"
            bold = f"**{text}**" if cell.is_best else text
            cells.append(bold + markdown_text(cell.marks) + references(cell, notes))
        lines.append(f"| {' | '.join(cells)} |")
    for remark in [*table.remarks, *number_notes(notes)]:
        lines += ["", markdown_text(remark)]
    return "\n".join(lines) + "\n"


def document(results: Results, tables: Sequence[Table], made: str) -> str:
    """The report as one Markdown text: the answer, what has to be known, and all tables.

    Args:
        results: What it is of.
        tables: All tables of them.
        made: When and how the report was made, in a sentence.
    """
    sentence = "".join(
        f"**{markdown_text(phrase.text)}**" if phrase.is_strong else markdown_text(phrase.text)
        for phrase in answer.answer(results)
    )
    known = [*filter(None, [answer.warn_of_few_seeds(results)]), *results.problems]
    items = "\n".join(f"- {markdown_text(problem)}" for problem in known)
    parts = ["# Active learning report", sentence, items, markdown_text(made)]
    text = "\n\n".join(part for part in parts if part)
    return "\n".join([f"{text}\n", *map(markdown, tables)])


def latex(table: Table) -> str:
    r"""As a ``table`` environment for ``\usepackage{booktabs}``, with a caption and a label."""
    table = table.fit_to_page()
    notes = table.notes()
    columns = "".join("l" if table.is_text(place) else "r" for place in range(len(table.header)))
    body = [" & ".join(map(latex_text, table.header)) + r" \\", r"\midrule"]
    for row in table.rows:
        cells = []
        for cell in row:
            text = latex_text(cell.text)
            if cell.is_best:
                text = rf"\textbf{{{text}}}"
            numbers = ",".join(str(notes.index(note) + 1) for note in cell.notes)
            if numbers:
                numbers = rf"\textsuperscript{{{numbers}}}"
            cells.append(text + latex_text(cell.marks) + numbers)
        body.append(" & ".join(cells) + r" \\")
    below = [
        rf"\textsuperscript{{{place}}} {latex_text(note)}" for place, note in enumerate(notes, 1)
    ]
    remarks = [*map(latex_text, table.remarks), *below]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(table.caption)}}}",
            rf"\label{{tab:{table.name}}}",
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
    r"""Plain text in which characters with a meaning in LaTeX are escaped.

    Example:
        >>> print(latex_text("bait_exp: +1.0 ± 0.2 (50%)"))
        bait\_exp: +1.0 $\pm$ 0.2 (50\%)
    """
    return "".join(LATEX.get(char, char) for char in text)


def markdown_text(text: str) -> str:
    r"""Plain text in which characters with a meaning in Markdown are escaped.

    Example:
        >>> print(markdown_text("bait_exp [top_classes=5]"))
        bait\_exp \[top\_classes=5\]
    """
    return re.sub(r"([\\|*_\[\]<>`])", r"\\\1", text)


def number_notes(notes: Sequence[str]) -> list[str]:
    """The notes as they stand below a table, each with its number."""
    return [f"{_superscript(place)} {note}" for place, note in enumerate(notes, 1)]


def references(cell: Cell, notes: Sequence[str]) -> str:
    """The numbers of a cell's notes, as superscripts."""
    return "\u2009".join(_superscript(notes.index(note) + 1) for note in cell.notes)


def _superscript(number: int) -> str:
    return str(number).translate(SUPERSCRIPTS)
