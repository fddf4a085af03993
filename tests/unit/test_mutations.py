from tests.mutations import ROOT, mutations


def test_each_place_to_break_is_there_once() -> None:
    wrong = [
        one.breaks
        for one in mutations()
        if (ROOT / one.file).read_text(encoding="utf-8").count(one.was) != 1 or one.was == one.now
    ]
    assert wrong == []


def test_each_test_that_is_to_notice_is_there() -> None:
    for one in mutations():
        file, _, name = one.test.partition("::")
        assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8"), one.test
