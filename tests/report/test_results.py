from dal.report.results import Results


def test_results_say_what_they_are_of(results: Results) -> None:
    assert repr(results) == (
        "Results(72 runs; datasets: first, second, third; "
        "strategies: random, margin, entropy, badge)"
    )


def test_a_subset_is_computed_from_its_rows_alone(results: Results) -> None:
    frame = results.frame
    part = results.subset((frame["seed"] < 2) & (frame["strategy"] != "entropy"))
    assert part.strategies == ["random", "margin", "badge"]
    assert set(part.comparisons["num_pairs"]) == {2}
    assert set(part.configurations.index) == set(part.frame["run"])
    assert set(results.comparisons["num_pairs"]) == {6}


def test_a_dataset_has_the_same_numbers_alone(results: Results) -> None:
    alone = results.subset(results.frame["dataset"] == "second")
    together = results.comparisons[results.comparisons["dataset"] == "second"]
    assert alone.comparisons.equals(together.reset_index(drop=True))


def test_the_frame_is_left_as_it_is(results: Results) -> None:
    fresh = Results(results.frame.copy(), results.configurations)
    for name in ("pairs", "gains", "comparisons", "aucs", "savings", "penalties", "ranking"):
        getattr(fresh, name)
    assert fresh.frame.equals(results.frame)
