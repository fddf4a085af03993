"""The page about scale says what its script computes."""

from benchmarks.scale import disk_bytes, nodes_needed, tables
from tests.conftest import ROOT


def test_the_page_has_the_figures_of_the_script() -> None:
    page = (ROOT / "docs" / "explanation" / "scale.md").read_text()
    for table in tables():
        assert table in page


def test_more_events_need_more() -> None:
    """Nodes hold what lies on them, with half of their disk free."""
    assert nodes_needed(10**9) == 2
    assert nodes_needed(10**12) >= disk_bytes(10**12) / 2e12
