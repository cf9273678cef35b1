from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.errors import ParityError
from ml.export.adversarial import adversarial_rows
from ml.export.parity import check_leaves, check_parity
from ml.export.trees.ensemble import TreeEnsemble
from tests.unit.export.graph.test_model import scorer_of
from tests.unit.export.trained_models import N_FEATURES, model_of_kind


def nearest_float32_thresholds(ensemble: TreeEnsemble) -> TreeEnsemble:
    """The mistake of the usual converters."""
    return replace(ensemble, threshold=ensemble.threshold.astype(np.float32).astype(np.float64))


def test_thresholds_rounded_to_float32_are_found_out(gbdt):
    rows = adversarial_rows(gbdt.ensemble, 4000, seed=1)
    wrong = nearest_float32_thresholds(gbdt.ensemble)
    with pytest.raises(ParityError, match="rows have another probability"):
        check_parity(gbdt.predict, scorer_of(wrong), rows, threshold=0.5)
    with pytest.raises(ParityError, match="another leaf"):
        check_leaves(gbdt.apply, wrong, rows)


@pytest.mark.parametrize("kind", ["gbdt", "forest"])
def test_one_wrong_way_for_nan_is_found_out(kind, request):
    model = request.getfixturevalue(kind)
    rows = adversarial_rows(model.ensemble, 8 * min(model.ensemble.n_splits, 2000), seed=1)
    flipped = model.ensemble.missing_true.copy()
    flipped[0] = ~flipped[0]
    with pytest.raises(ParityError, match="another leaf"):
        check_leaves(model.apply, replace(model.ensemble, missing_true=flipped), rows)


@pytest.mark.parametrize("place", range(5))
def test_a_category_left_out_of_one_set_is_found_out(place):
    model = model_of_kind("categorical")
    encoding = model.ensemble.columns
    at = place * len(encoding.memberships) // 5
    categories = encoding.memberships[at].categories
    # A split is tried with one category at a time, so all 40 need more rows than the two sides of a threshold.
    rows = adversarial_rows(model.ensemble, 200 * model.ensemble.n_splits, seed=1)
    for left_out in (categories[0], categories[-1]):
        fewer = tuple(each for each in categories if each != left_out) or (40,)
        wrong = replace(encoding.memberships[at], categories=fewer)
        memberships = (*encoding.memberships[:at], wrong, *encoding.memberships[at + 1 :])
        ensemble = replace(model.ensemble, encoding=replace(encoding, memberships=memberships))
        with pytest.raises(ParityError, match="another leaf"):
            check_leaves(model.apply, ensemble, rows)


def test_zeros_that_are_not_taken_for_missing_are_found_out():
    model = model_of_kind("zero_as_missing")
    rows = adversarial_rows(model.ensemble, 4000, seed=1)
    encoding = model.ensemble.columns
    assert encoding.zero_is_missing
    for feature in encoding.zero_is_missing:
        fewer = replace(encoding, zero_is_missing=encoding.zero_is_missing - {feature})
        with pytest.raises(ParityError, match="another leaf"):
            check_leaves(model.apply, replace(model.ensemble, encoding=fewer), rows)


def test_one_bit_of_one_leaf_is_found_out(gbdt):
    rows = adversarial_rows(gbdt.ensemble, 4000, seed=1)
    weights = gbdt.ensemble.leaf_weight.copy()
    weights[7] *= 1 + 1e-6
    with pytest.raises(ParityError, match="allowed is none"):
        check_parity(gbdt.predict, scorer_of(replace(gbdt.ensemble, leaf_weight=weights)), rows, threshold=0.5)


def test_another_threshold_is_found_out_by_the_labels(gbdt):
    with pytest.raises(ParityError, match="0 of 500 rows have another probability"):
        check_parity(gbdt.predict, scorer_of(gbdt.ensemble, threshold=0.4), gbdt.rows[:500], threshold=0.6)


def test_figures_count_the_rows(gbdt):
    figures = check_parity(gbdt.predict, scorer_of(gbdt.ensemble), gbdt.rows[:10], threshold=0.5)
    assert figures.model_dump(by_alias=True) == {
        "rows": 10,
        "differingBits": 0,
        "differingLabels": 0,
        "maxDifference": 0.0,
    }


def test_every_split_is_reached_at_its_threshold_and_on_both_sides(gbdt):
    """Walk each row; note at which splits its value is the float32 beside the threshold, and on which side."""
    ensemble = gbdt.ensemble
    rows = adversarial_rows(ensemble, 8 * ensemble.n_splits, seed=5)
    seen: dict[str, set[int]] = {"at": set(), "below": set(), "above": set(), "missing": set()}
    nearest = ensemble.threshold.astype(np.float32)
    ways = {"at": nearest, "below": np.nextafter(nearest, -np.inf), "above": np.nextafter(nearest, np.inf)}
    for root in ensemble.roots:
        nodes = np.full(len(rows), root)
        active = np.arange(len(rows))
        while len(active):
            node = nodes[active]
            value = rows[active, ensemble.feature[node]]
            for name, values in ways.items():
                seen[name].update(node[value == values[node]].tolist())
            seen["missing"].update(node[np.isnan(value)].tolist())
            true = np.where(np.isnan(value), ensemble.missing_true[node], value <= ensemble.threshold[node])
            nodes[active] = np.where(true, ensemble.true_child[node], ensemble.false_child[node])
            active = active[nodes[active] >= 0]
    reached = {name: len(splits) / ensemble.n_splits for name, splits in seen.items()}
    assert (reached["at"], reached["below"], reached["above"]) == (1.0, 1.0, 1.0)
    assert reached["missing"] > 0.9


def test_rows_hold_all_special_values_and_real_ones(gbdt):
    rows = adversarial_rows(gbdt.ensemble, 5000, seed=1, base_rows=gbdt.rows)
    assert rows.dtype == np.float32
    assert rows.shape == (5000, N_FEATURES)
    for column in rows.T:
        assert np.isnan(column).any()
        assert {np.inf, -np.inf, 0.0} <= set(column.tolist())
        assert (np.signbit(column) & (column == 0)).any()
        assert ((column != 0) & (np.abs(column) < np.finfo(np.float32).tiny)).any()
    shares = [np.isin(rows[:, j], gbdt.rows[:, j]).mean() for j in range(N_FEATURES)]
    assert min(shares) > 0.2


def test_a_library_that_refuses_infinities_gets_none(forest):
    rows = adversarial_rows(forest.ensemble, 2000, seed=1)
    assert not np.isinf(rows).any()
    assert np.isnan(rows).any()


def test_the_same_seed_gives_the_same_rows(gbdt):
    first, again, other = (adversarial_rows(gbdt.ensemble, 300, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)
