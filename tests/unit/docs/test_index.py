"""The documentation as a whole: its index is complete, its links lead somewhere, and cited sections exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.stack.local_processes import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINKING = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *PAGES]
CITING = [
    path
    for folder in ("services", "operator", "tests", "ci", "bench")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
    # These tests name the page without a section, and sections that are only examples.
    if path.parent != Path(__file__).parent
]


def without_code(text: str) -> str:
    """The page without fenced blocks and code spans: what stands in them is no link and no heading."""
    return re.sub(r"`[^`\n]*`", lambda span: span[0].replace("[", "").replace("]", ""), _without_blocks(text))


def _without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", _without_blocks(text), flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = base = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 0
        while slug in found:
            number += 1
            slug = f"{base}-{number}"
        found.add(slug)
    return found


def targets(text: str) -> list[str]:
    """Relative targets of a page's links."""
    linked: list[str] = re.findall(r"\]\(([^)\s]+)\)", without_code(text))
    return [target for target in linked if not re.match(r"[a-z]+:", target)]


def broken(page: Path) -> list[str]:
    """Targets of ``page`` that do not exist, as file or as heading."""
    wrong = []
    for target in targets(page.read_text()):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            wrong.append(target)
    return wrong


def cited_sections(text: str) -> set[int]:
    """Numbers of the sections of domain.md that a source file cites: "section 4", "sections 2 to 4", "2, 3"."""
    cited: set[int] = set()
    for numbers in re.findall(r"domain\.md(?:,? sections?)? (\d+(?:(?: to | and |, )\d+)*)", text):
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", numbers):
            cited |= set(range(int(first), int(last or first) + 1))
    return cited


def test_every_page_is_linked_from_the_index() -> None:
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in targets((DOCS / "README.md").read_text())}
    assert [str(page.relative_to(DOCS)) for page in PAGES if page not in {*linked, DOCS / "README.md"}] == []


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_relative_link_leads_to_a_file_and_heading(page: Path) -> None:
    assert broken(page) == []


def test_cited_sections_of_the_domain_exist() -> None:
    sections = {int(number) for number in re.findall(r"^## (\d+)\. ", (DOCS / "domain.md").read_text(), re.MULTILINE)}
    cited = {path: cited_sections(path.read_text()) for path in CITING if "domain.md" in path.read_text()}
    assert cited, "no module cites domain.md any more"
    assert {str(path): numbers - sections for path, numbers in cited.items() if numbers - sections} == {}
    assert [str(path) for path, numbers in cited.items() if not numbers] == [], "cited without a section"


def test_terms_are_in_alphabetical_order_and_defined_once() -> None:
    text = (DOCS / "glossary.md").read_text().partition("\n## Kept for compatibility\n")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE)
    terms = [term.lower().replace(",", "") for term in rows if term not in ("Term", "---")]
    assert terms == sorted(set(terms))


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("[a](other.md)", []),
        ("[a](other.md#two-words)", []),
        ("[a](#here)", []),
        ("[a](https://example.invalid/x.md)", []),
        ("`[a](missing.md)`", []),
        ("[a](missing.md)", ["missing.md"]),
        ("[a](other.md#three-words)", ["other.md#three-words"]),
        ("[a](#there)", ["#there"]),
    ],
)
def test_a_link_without_target_is_found(link: str, wrong: list[str], tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Two words\n\n```\n# Three words\n```\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n{link}\n")
    assert broken(page) == wrong


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Source: domain.md section 4.", {4}),
        ("Source: domain.md sections 2 to 4.", {2, 3, 4}),
        ("Source: domain.md sections 1 and 2, through", {1, 2}),
        ("Source: domain.md 2, 3.", {2, 3}),
        ("# domain.md section 8, row by row", {8}),
        ("as domain.md says", set()),
    ],
)
def test_a_citation_is_read(text: str, numbers: set[int]) -> None:
    assert cited_sections(text) == numbers


def test_every_path_of_the_glossary_is_there() -> None:
    roots = {"": REPOSITORY / "services" / "titan", "operator: ": REPOSITORY / "operator" / "titan_operator"}
    text = (DOCS / "glossary.md").read_text()
    named = re.findall(r"`(operator: |)([a-z_]+/[a-z_/]*(?:\.py)?)`", text.partition("| Term |")[2])
    assert named
    assert [path for root, path in named if not (roots[root] / path).exists()] == []


def test_the_recordings_that_the_readme_replays_are_there() -> None:
    text = (DOCS.parent / "README.md").read_text()
    folder = DOCS.parent / re.findall(r"^recordings=(\S+)$", text, re.MULTILINE)[0]
    names = re.findall(r"--market \$recordings/(\S+)", text)
    assert len(names) == 2
    assert [name for name in names if not (folder / name).is_file()] == []
