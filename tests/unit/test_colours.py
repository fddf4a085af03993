"""The colours of categories, as the boards have them."""

from charts.colours import layer
from tests.support.dbt import PROJECT


def test_the_boards_have_the_colours_of_the_seed() -> None:
    seed = (PROJECT / "seeds" / "categories.csv").read_text(encoding="utf-8")
    assert (PROJECT / "charts" / "_colours.yml").read_text(encoding="utf-8") == layer(
        seed.splitlines()
    )


def test_a_colour_counts_once_and_as_the_board_can_take_it() -> None:
    pins = layer(
        [
            "category,activity_gap,is_alerted,colour",
            "people,,true,#1F77B4",
            "vehicles,,,#1f77b4",
            '"a ""dog""",,,red',
            "animals,,,#00ff00",
        ]
    ).splitlines()[-4:]
    assert [line.strip() for line in pins] == [
        '"vehicles": "category.blue"',
        '"people": "#1f77b4"',
        '"other": "category.gray"',
        '"animals": "#00ff00"',
    ]
