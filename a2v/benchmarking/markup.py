"""The little Markdown that tables and notes are written in: as HTML, and put into pages."""

import html
import re

from a2v.errors import A2VError

NUMBER = re.compile(r"(-?[\d.]+)(?: \[([\d.]+)-([\d.]+)\])?")


def to_html(markdown):
    """Turns headings, paragraphs and pipe tables into HTML; everything else is plain text.

    Args:
        markdown: str, blocks parted by empty lines; `**strong**` and backticks within them.

    Returns:
        str. A table whose first column repeats itself is parted into groups under its values.
    """
    blocks = re.split(r"\n\s*\n", markdown.strip())
    return "\n".join(_block(block.strip().splitlines()) for block in blocks)


def with_block(text, name, block, *, where):
    """Puts a block between its marks `<!-- NAME -->` and `<!-- /NAME -->`.

    Args:
        text: str, of a page; name: str; block: str, what is to stand there.
        where: str, the page, for errors.

    Returns:
        str, the page.

    Raises:
        A2VError: the page has not one such place.
    """
    pattern = rf"<!-- {name} -->\n.*?<!-- /{name} -->"
    made = f"<!-- {name} -->\n{block.rstrip()}\n<!-- /{name} -->"
    text, count = re.subn(pattern, lambda _: made, text, flags=re.DOTALL)
    if count != 1:
        raise A2VError(f"{where}: {count} places marked {name}; mark one")
    return text


def inline(text):
    """Escapes a line; `**strong**` and backticks become tags."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)


def _block(lines):
    level = len(lines[0]) - len(lines[0].lstrip("#"))
    if level:
        return f"<h{level}>{inline(lines[0][level:].strip())}</h{level}>"
    if lines[0].startswith("|"):
        head, _, *body = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
        return _table(head, body)
    return f"<p>{inline(' '.join(lines))}</p>"


def _table(head, body):
    firsts = [row[0] for row in body]
    grouped = len(head) > 2 and len(set(firsts)) < len(firsts)
    if not grouped:
        return _scrolling(head, [_row(row, head) for row in body])
    lines = []
    for number, row in enumerate(body):
        if not number or row[0] != firsts[number - 1]:
            name = f'<th scope="rowgroup" colspan="{len(head) - 1}">{inline(row[0])}</th>'
            lines.append(f'<tr class="group">{name}</tr>')
        lines.append(_row(row[1:], head[1:]))
    return _scrolling(head[1:], lines)


def _scrolling(head, lines):
    cells = "".join(f'<th scope="col">{inline(cell)}</th>' for cell in head)
    rows = "\n".join(lines)
    return (
        '<div class="scroll" role="region" aria-label="Table" tabindex="0"><table>\n'
        f"<thead><tr>{cells}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _row(cells, head):
    first = f'<th scope="row">{inline(cells[0])}</th>'
    rest = zip(cells[1:], head[1:], strict=True)
    return f"<tr>{first}{''.join(_cell(cell, column) for cell, column in rest)}</tr>"


def _cell(cell, column):
    """A rate over clip length is shaded by its value; an interval stands small behind its rate."""
    number = NUMBER.fullmatch(cell)
    if not number:
        return f"<td>{inline(cell)}</td>"
    rate, low, high = number.groups()
    if low is None:
        return f"<td>{rate.replace('-', '−')}</td>"
    shade = f' style="--share:{float(rate):.0f}%"' if re.fullmatch(r"[\d.]+ s", column) else ""
    return f"<td{shade}>{rate} <small>{low}–{high}</small></td>"
