"""What answers say together, by the ids of items, and beside earlier labels."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dal.errors import DataError
from dal.labeling.agreement import Changes, agree, check_against
from dal.labeling.answer import Answer
from dal.labeling.matching import match_ids


def answers(*votes: tuple[str, str | None, str | None]) -> list[Answer]:
    return [Answer(*vote, f"to_label.csv, line {line}") for line, vote in enumerate(votes, 2)]


def of_people(*labels: str | None) -> list[Answer]:
    return answers(*(("a", label, f"p{n}") for n, label in enumerate(labels)))


def test_one_person() -> None:
    agreement = agree(answers(("a", "cat", None), ("b", None, None), ("a", "cat", None)))
    assert agreement.labels == {"a": "cat", "b": None}
    assert agreement.disagreements == []


def test_a_contradiction_names_both_places() -> None:
    both = r"'a' is 'cat' \(to_label.csv, line 2\) and 'dog' \(to_label.csv, line 4\)"
    with pytest.raises(DataError, match=both):
        agree(answers(("a", "cat", None), ("b", "dog", None), ("a", "dog", None)))
    with pytest.raises(DataError, match="'a' by anna is 'cat'"):
        agree(answers(("a", "cat", "anna"), ("a", "dog", "ben"), ("a", "dog", "anna")))


@pytest.mark.parametrize("order", [("cat", None), (None, "cat")])
def test_who_skips_and_labels_has_labeled(order: Sequence[str | None]) -> None:
    agreement = agree(answers(*(("a", label, "anna") for label in order)))
    assert (agreement.labels, agreement.disagreements) == ({"a": "cat"}, [])


@pytest.mark.parametrize(
    ("labels", "expected", "shown"),
    [
        (["cat", "cat"], {"a": "cat"}, None),
        ([None, None], {"a": None}, None),
        (["cat", "dog"], {}, "a: 'cat' (p0), 'dog' (p1): open"),
        (["dog", "cat", "dog"], {"a": "dog"}, "a: 'dog' (p0, p2), 'cat' (p1): 'dog'"),
        (["cat", None, None], {"a": "cat"}, "a: 'cat' (p0), skipped (p1, p2): 'cat'"),
        ([None, "cat", "dog"], {}, "a: 'cat' (p1), 'dog' (p2), skipped (p0): open"),
    ],
)
def test_several_people(
    labels: Sequence[str | None], expected: Mapping[str, str | None], shown: str | None
) -> None:
    agreement = agree(of_people(*labels))
    assert agreement.labels == expected
    assert [str(disagreement) for disagreement in agreement.disagreements] == [shown] * bool(shown)


@given(st.lists(st.sampled_from(["cat", "dog", "owl", None]), min_size=1, max_size=7))
def test_the_label_is_the_one_mode(labels: list[str | None]) -> None:
    given_labels = [label for label in labels if label is not None]
    counts = Counter(given_labels)
    modes = [name for name in counts if counts[name] == max(counts.values())]
    agreement = agree(of_people(*labels))
    if not given_labels:
        assert agreement.labels == {"a": None}
    else:
        assert agreement.labels == ({"a": modes[0]} if len(modes) == 1 else {})
    assert bool(agreement.disagreements) == (len(set(labels)) > 1)


SIMILAR = [("Cat", "cat"), ("polar bear", "polar  bear"), ("\uff23at", "Cat"), ("a\u00adb", "ab")]


@pytest.mark.parametrize(("one", "other"), SIMILAR)
def test_names_that_differ_in_nothing_that_one_sees(one: str, other: str) -> None:
    with pytest.raises(DataError, match="more than case, white space or Unicode form"):
        agree(answers(("a", one, "anna"), ("b", other, "ben")))
    with pytest.raises(DataError, match="more than case, white space or Unicode form"):
        check_against({"a": one}, ["a", "b"], {"b": other})
    with pytest.raises(DataError, match="more than case"):
        check_against({"a": one}, ["a", "b"], {"a": other, "b": other}, relabel=True)
    changes = check_against(
        {"a": one, "b": one}, ["a", "b"], {"a": other, "b": other}, relabel=True
    )
    assert changes.changed == {"a": (other, one), "b": (other, one)}


def test_what_is_new() -> None:
    earlier = {"a": "cat", "b": None, "c": "dog", "d": None}
    labels = {"a": "cat", "b": "owl", "c": None, "d": None, "e": None, "f": "dog"}
    changes = check_against(labels, "abcdefg", earlier)
    assert changes == Changes({"b": "owl", "e": None, "f": "dog"}, {}, 3, ["owl"])
    merged = earlier | changes.added
    assert check_against(labels, "abcdefg", merged) == Changes({}, {}, 6, [])


def test_another_label_than_before() -> None:
    with pytest.raises(DataError, match="1 items have.*'a' was 'cat' and is 'dog'.*relabel"):
        check_against({"a": "dog", "b": "cat"}, "ab", {"a": "cat"})
    changes = check_against({"a": "dog", "b": "cat"}, "ab", {"a": "cat"}, relabel=True)
    assert changes == Changes({"b": "cat"}, {"a": ("cat", "dog")}, 0, ["dog"])


def test_unknown_ids() -> None:
    labels = dict.fromkeys(["a.jpg", *(f"b{n}.jpg" for n in range(12))], "cat")
    message = r"3 items, got 12 of 13 .*'b0.jpg', .*'b9.jpg' and 2 more. Did you mean 'b.jpg'"
    with pytest.raises(DataError, match=message):
        check_against(labels, ["a.jpg", "b.jpg", "c.jpg"], {})
    with pytest.raises(DataError, match="Is '17' meant to be '0017'.*leading zeros"):
        check_against({"17": "cat"}, ["0016", "0017"], {})


def test_unknown_ids_of_a_large_pool_are_named_soon() -> None:
    ids = [f"{n:07d}.jpg" for n in range(500_000)]
    start = time.process_time()
    with pytest.raises(DataError, match=r"'0499999.jpeg'. Did you mean '0\d+.jpg'"):
        check_against({"0499999.jpeg": "cat"}, ids, {})
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024/a.jpg", "2024/a.jpg"),
        ("./2024/a.jpg", "2024/a.jpg"),
        ("2024\\a.jpg", "2024/a.jpg"),
        (" 2024//a.jpg ", "2024/a.jpg"),
        ("/home/me/photos/2024/a.jpg", "2024/a.jpg"),
        ("C:\\photos\\2024\\a.jpg", "2024/a.jpg"),
        ("a.jpg", "2024/a.jpg"),
        ("../photos/b.jpg", "b.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("'0012", "0012"),
        ("''x", "'x"),
        ("12", "12"),
        ("2023/a.jpg", "2023/a.jpg"),
        ("ab.jpg", "ab.jpg"),
    ],
)
def test_paths_that_mean_an_item(written: str, expected: str) -> None:
    ids = ["2024/a.jpg", "b.jpg", "caf\u00e9.jpg", "0012", "'x"]
    matched, notes = match_ids(answers((written, "cat", "anna")), ids)
    assert matched == [Answer(expected, "cat", "anna", "to_label.csv, line 2")]
    is_path = written != expected and not written.startswith("'")
    assert len(notes) == is_path
    assert all(repr(written) in note and repr(expected) in note for note in notes)


def test_a_path_that_means_several_items() -> None:
    with pytest.raises(DataError, match="line 2, got 'a.jpg', which can be any of 'x/a.jpg', 'y/a"):
        match_ids(answers(("a.jpg", "cat", None)), ["x/a.jpg", "y/a.jpg"])
    whole, _ = match_ids(answers(("./a.jpg", "cat", None)), ["x/a.jpg", "a.jpg"])
    assert whole[0].id == "a.jpg"


def test_two_paths_of_one_item_are_one_item() -> None:
    matched, notes = match_ids(
        answers(("./a.jpg", "cat", None), ("photos/a.jpg", "dog", None)), ["a.jpg"]
    )
    assert notes == ["2 ids matched by their path: './a.jpg' is 'a.jpg', …"]
    with pytest.raises(DataError, match="'a.jpg' is 'cat'"):
        agree(matched)
