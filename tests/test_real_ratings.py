"Lists and newcomers on the real MovieLens (COURSE_LIB_MIRROR), shortened, each with a floor."
import os

import pandas as pd
import pytest
import torch

pytestmark = [pytest.mark.real,
              pytest.mark.skipif(not os.environ.get('COURSE_LIB_MIRROR'), reason='COURSE_LIB_MIRROR names no mirror of real data')]


@pytest.fixture
def movielens(monkeypatch, tmp_path):
    monkeypatch.delenv('COURSE_LIB_DATA', raising=False)
    monkeypatch.setenv('COURSE_LIB_HOME', str(tmp_path/'cache'))
    from course_lib.data.external import URLs, untar_data
    return untar_data(URLs.ML_LATEST_SMALL)


def test_lists(movielens):
    "Four epochs without stars make better lists than the favourites of all, and show more films."
    import course_lib.callback.schedule   # noqa: F401 (gives fit_one_cycle)
    from course_lib.collab.implicit import ImplicitDataLoaders, implicit_learner, lists_of
    from course_lib.collab.ranking import by_popularity, rank_metrics
    from course_lib.torch_core import set_seed
    set_seed(42)
    dls = ImplicitDataLoaders.from_df(pd.read_csv(movielens/'ratings.csv'))
    favourites = rank_metrics(by_popularity(dls.seen), dls.held_out, dls.seen)
    learn = implicit_learner(dls, metrics=[])
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(4, 2e-2)
    ours = lists_of(learn)
    assert ours['ndcg'] > 1.15 * favourites['ndcg'] and ours['coverage'] > 2 * favourites['coverage'], (ours, favourites)


def test_factors_without_gradient_descent(movielens):
    "Alternating least squares on a random fifth held out; the global mean gives 1.1."
    from course_lib.collab.cold import als, rate_pairs
    ratings = pd.read_csv(movielens/'ratings.csv')
    user, item = (torch.tensor(pd.factorize(ratings[c])[0]) for c in ('userId', 'movieId'))
    stars = torch.tensor(ratings.rating.to_numpy(copy=True)).float()
    torch.manual_seed(0)
    valid = torch.rand(len(stars)) < .2
    users, items = als(user[~valid], item[~valid], stars[~valid], int(user.max()) + 1, int(item.max()) + 1, l2=12.)
    assert (rate_pairs(users, user[valid], items, item[valid]) - stars[valid]).square().mean() < .74


def test_newcomers(movielens, monkeypatch):
    "Films nobody rated, and users with a few ratings: better than means (the setting of benchmarks/cold.py)."
    from types import SimpleNamespace
    from nbs import root
    monkeypatch.syspath_prepend(str(root/'benchmarks'))
    import cold
    ours, means = (side(SimpleNamespace(data=movielens, round=0)) for side in (cold.model, cold.mean))
    assert ours['film'] < .98 * means['film'] and ours['user20'] < .92 * means['user20'], (ours, means)


def test_a_learner_meets_strangers(movielens):
    "A learner trained without every tenth user predicts the later ratings of these from their first twenty."
    import course_lib.callback.schedule   # noqa: F401 (gives fit_one_cycle)
    from course_lib.collab import CollabDataLoaders, collab_learner, factor_tables, rate_pairs, set_seed
    ratings = pd.read_csv(movielens/'ratings.csv').sort_values('timestamp', kind='stable')
    stranger = ratings.userId % 10 == 0
    set_seed(0)
    dls = CollabDataLoaders.from_df(ratings[~stranger], .05, 'userId', 'movieId', 'rating', seed=0, bs=256)
    learn = collab_learner(dls, y_range=(0, 5.5))
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(3, 5e-3)
    _, films, y_range = factor_tables(learn.model)
    known = ratings[stranger & ratings.movieId.isin(list(dls.classes['movieId']))]
    nth = known.groupby('userId').cumcount()

    def error(n):
        off = []
        for _, own in known.groupby('userId'):
            first, later = own[nth[own.index] < n], own[nth[own.index] >= 20]
            rows = learn.rows_of(later.movieId)
            off.append(rate_pairs(learn.newcomer(first), torch.zeros_like(rows), films, rows, y_range) - torch.tensor(later.rating.to_numpy(copy=True)))
        return torch.cat(off).square().mean().item()
    nothing, twenty = error(0), error(20)
    assert twenty < .92 * nothing < 1.0, (nothing, twenty)
    assert len(learn.ask(5)) == 5 and len(learn.recommend_to({1: 5, 50: 4.5}, 10)) == 10
