import numpy as np
import pytest

from alignment.arrays import AlignmentError
from alignment.embeddings.pairs import AlignSettings
from alignment.embeddings.peer import align
from tests.support.embedding_tables import planted

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from alignment.adapters.scikit_learn import EmbeddingTranslator, NoSharedDirectionWarning


class WithEnoughRows(EmbeddingTranslator):
    """The estimator on repetitions of the rows that it is given: scikit-learn's checks give 1 to 30."""

    _min_rows = 1

    def _compared(self, first, second, settings):
        rng = np.random.default_rng(0)
        repeated = [np.tile(rows, (-(-200 // len(rows)), 1)) for rows in (first, second)]
        return align(*(rows + 1e-3 * rng.standard_normal(rows.shape) for rows in repeated), settings)


@parametrize_with_checks([WithEnoughRows()])
@pytest.mark.filterwarnings("ignore::alignment.adapters.scikit_learn.NoSharedDirectionWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_finds_an_estimator_of_its_contract(estimator, check):
    check(estimator)


def test_it_finds_what_align_finds_and_translates_both_ways():
    first, second = planted(0, 400, (6, 11), 3)
    found = EmbeddingTranslator(seed=4).fit(first, second)
    expected = align(first, second, AlignSettings(seed=4))

    assert found.shared_dim_ == 3
    assert found.r2_shared_ == expected.forward.r2_shared
    np.testing.assert_array_equal(found.transform(first), expected.forward(first))
    np.testing.assert_array_equal(found.inverse_transform(second), expected.backward(second))


def test_the_regression_of_all_directions_scores_higher_on_new_rows_than_the_mean():
    first, second = planted(1, 900, (6, 11), 3)
    found = EmbeddingTranslator("all").fit(first[:600], second[:600])

    assert 0.1 < found.score(first[600:], second[600:]) < 0.5  # 3 of 11 directions of equal variance
    assert found.score(first[600:], second[:300]) < 0.05


def test_unrelated_tables_are_translated_to_the_mean_with_a_warning():
    first, second = planted(0, 200, (4, 5), 0)
    with pytest.warns(NoSharedDirectionWarning, match="no direction is shared"):
        found = EmbeddingTranslator().fit(first, second)

    assert found.shared_dim_ == 0
    assert np.ptp(found.transform(first), axis=0).max() < 1e-12


def test_it_works_in_pipelines_searches_and_clones():
    first, second = planted(2, 400, (6, 8), 4)
    search = GridSearchCV(EmbeddingTranslator(), {"directions": ["shared", "all"]}, cv=3).fit(first, second)
    probe = make_pipeline(StandardScaler(), EmbeddingTranslator(), Ridge())

    assert search.best_score_ > 0.3
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()
    assert cross_val_score(probe, first, second, cv=3).mean() > 0.2


def test_the_columns_of_a_data_frame_keep_their_names():
    pandas = pytest.importorskip("pandas")
    first, second = planted(2, 200, (4, 3), 2)
    target = pandas.DataFrame(second, columns=["red", "green", "blue"])
    found = EmbeddingTranslator().fit(first, target).set_output(transform="pandas")

    assert list(found.transform(first).columns) == ["red", "green", "blue"]


def test_single_precision_stays_single():
    first, second = (rows.astype("float32") for rows in planted(0, 200, (4, 5), 2))
    found = EmbeddingTranslator().fit(first, second)

    assert found.transform(first).dtype == found.inverse_transform(second).dtype == np.float32


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"directions": "some"}, "choose 'shared'"), ({"heldout": 2.0}, "between 0 and 1")],
)
def test_a_parameter_out_of_range_is_refused_in_fit(parameters, message):
    tables = planted(0, 200, (4, 5), 2)

    with pytest.raises(AlignmentError, match=message):
        EmbeddingTranslator(**parameters).fit(*tables)


def test_too_few_rows_and_rows_of_another_space_are_refused():
    first, second = planted(0, 200, (4, 5), 2)
    found = EmbeddingTranslator().fit(first, second)

    with pytest.raises(ValueError, match="minimum of 32"):
        EmbeddingTranslator().fit(first[:31], second[:31])
    with pytest.raises(AlignmentError, match="the target has 5 dimensions"):
        found.inverse_transform(first)
