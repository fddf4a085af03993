import pytest

from loader.cli.concealment import without_dsn


@pytest.mark.parametrize(
    ("given", "kept", "dsn"),
    [
        ("load a.csv", "load a.csv", None),
        ("--dsn x load a.csv", "load a.csv", "x"),
        ("--dsn=x=y load a.csv", "load a.csv", "x=y"),
        ("--dsn x load --dsn y a.csv", "load a.csv", "y"),
        ("load -- --dsn x", "load -- --dsn x", None),
        ("load --dsn", "load", None),
        ("load --dsn-like x", "load --dsn-like x", None),
    ],
)
def test_arguments_without_the_dsn(given: str, kept: str, dsn: str | None) -> None:
    assert without_dsn(given.split()) == (kept.split(), dsn)
