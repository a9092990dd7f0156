"""Values of overrides as people type them: each reaches the configuration as it is."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hypothesis import given
from hypothesis import strategies as st

from dal.cli import overrides

READ_BY_HYDRA = (
    *("seed=3", "data.path=my photos", "data.path=a\\b", "seed=1,2", "strategy=random", "out="),
    *("a=[1,2]", "a={b:1}", "a='(1)'", "a=range(1,3)", "a=null", "~logger", "+experiment=digits"),
    *("out=of/${extraction.dtype}", "a=choice(x,y)", "--config-dir=~/x", "-m", "data.path=$HOME"),
)
NAMES = (
    *("~/photos", "~", "/a/café", "日本", "photos(1)", "(1)", "it's", 'a"b', "a=b", "a&b", "a;b"),
    *("dir[x]", "a!", "x{y}", "~/a,~/b", "é\\", "é\\'", "no #1", "<x>", "photos (1), it's", "x é "),
)


def value_of(override: str) -> object:
    return OverridesParser.create().parse_override(override).value()


@pytest.mark.parametrize("argument", READ_BY_HYDRA)
@pytest.mark.parametrize("options", [[], ["-m"]])
def test_what_can_be_read_stays(argument: str, options: list[str]) -> None:
    assert overrides.quote_unreadable([argument, *options]) == [argument, *options]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_people_have(name: str) -> None:
    (override,) = overrides.quote_unreadable([f"data.path={name}"])
    assert value_of(override) == name
    assert overrides.quote_unreadable([override]) == [override]


@given(st.text(min_size=1))
def test_any_text_can_be_quoted(text: str) -> None:
    parsed = OverridesParser.create().parse_override(overrides.quoted(f"+name={text}"))
    assert isinstance(parsed._value, QuotedString)
    assert parsed._value.text == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("~/a,b", ["~/a", "b"]),
        ("é,it's,3", ["é", "it's", 3]),
        ("photos(1,2),b", "photos(1,2),b"),  # no comma of a list of values
        ("a (1)", "a (1)"),
    ],
)
def test_in_a_multirun_a_comma_separates_values(value: str, expected: object) -> None:
    override, _ = overrides.quote_unreadable([f"a={value}", "-m"])
    parsed = OverridesParser.create().parse_override(override)
    if isinstance(expected, list):
        values = list(parsed.sweep_iterator(lambda element: element))
        assert [getattr(element, "text", element) for element in values] == expected
    else:
        assert parsed.value() == expected


@pytest.mark.parametrize(
    ("argument", "advice"),
    [
        ("a=[1,2", """ quote it: "a='[1,2'"."""),
        ("a={b:1", """ quote it: "a='{b:1'"."""),
        ("a=range(1", """ quote it: "a='range(1'"."""),
        ("a=choice(é,b)", """ quote it: "a='choice(é,b)'"."""),
        ("a='$b", " quote it: 'a="),
        ("é=[1", "as they are defined."),
    ],
)
def test_what_is_only_misspelt_is_explained(argument: str, advice: str) -> None:
    assert overrides.quote_unreadable([argument]) == [argument]
    message = overrides.explain_unreadable(["seed=3", argument])
    assert message is not None
    assert message.startswith(f"Cannot read {argument}: brackets")
    assert advice in message
    assert overrides.explain_unreadable(["seed=3"]) is None
