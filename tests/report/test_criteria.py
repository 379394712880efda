"""Sheets and dockets as pages and tables: text from files is text."""

from pathlib import Path

import pytest
from rich.console import Console

from fairfight.report.criteria import Judged, docket_page, page, sheet_table
from fairfight.report.tables import Rows, escaped, markdown, visible
from fairfight.verdict.claims import read_claim
from fairfight.verdict.criteria.claimed import case_of
from fairfight.verdict.criteria.sheet import sheet

CLAIM = Path(__file__).parents[2] / "docket" / "golden_gate_claude.toml"


@pytest.fixture
def judged(tmp_path):
    """Give the claim with texts replaced, judged."""

    def make(*changes):
        text = CLAIM.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "mine.toml").write_text(text)
        claim = read_claim(tmp_path / "mine.toml")
        return Judged(claim, sheet(case_of(claim)))

    return make


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("a|b", "a&#124;b"),
        ("a\\\\|b", "a\\\\&#124;b"),
        ("a\nb\r\nc", "a b[U+000D] c"),
        ("\x1b[31m\x00\x85", "[U+001B][31m[U+0000][U+0085]"),
        ("naïve, 0.5 ± 0.1", "naïve, 0.5 ± 0.1"),
    ],
)
def test_markdown_shows_a_text_as_it_is_on_one_line(text, safe):
    assert escaped(text) == safe
    assert markdown(Rows(("x",), ((text,),))).splitlines()[2:] == [f"| {safe} |"]


def test_every_steering_character_is_shown_by_its_code_point_and_nothing_else():
    shown = {code for code in range(0x110000) if visible(chr(code)) != chr(code)}
    controls = {*range(0x20), *range(0x7F, 0xA0)} - {0x09, 0x0A}
    assert shown == controls | {*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)}
    assert visible("\x1b") == "[U+001B]"


def test_no_text_of_a_claim_becomes_markup_of_its_page(judged):
    hostile = "<img src=x> & |\\n# heading"
    own = judged(
        ('who = "Anthropic"', f'who = "{hostile}"'),
        ('title = "Golden', f'title = "{hostile} Golden'),
        ('says = "Clamping', f'says = "{hostile} Clamping'),
        ('what = "the announcement', f'what = "{hostile} the announcement'),
        ('motive = "personas', f'motive = "{hostile} personas'),
        ("[sources.post]", f'history = ["{hostile}"]\n[sources.post]'),
    )
    for text in (page(own), docket_page([own, own])):
        assert "<img" not in text
        assert "\n# heading" not in text
        assert "&lt;img src=x&gt; &amp; &#124; # heading" in text
    widths = {line.count("|") for line in page(own).splitlines() if line.startswith("|")}
    assert widths == {5}


def test_the_dockets_page_names_no_folder_that_it_was_not_written_from(judged):
    text = docket_page([judged(), judged()])
    assert "Written by `fairfight judge --pages`." in text
    assert "docket/" not in text


def test_a_sheets_cells_show_what_would_steer_a_terminal(judged):
    own = judged(('motive = "personas', 'motive = "\\u001b[2Jpersonas'))
    console = Console(width=250, force_terminal=False)
    with console.capture() as captured:
        console.print(sheet_table(own.sheet))
    assert "\x1b" not in captured.get()
    assert "[U+001B][2Jpersonas" in captured.get()
