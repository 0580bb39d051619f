"Ratings drawn from known factors, biases and moods: what the library learns is compared with what is true, not with itself."
import numpy as np
import pandas as pd
import pytest
import torch

import course_lib.callback.schedule   # noqa: F401 (gives fit_one_cycle)
from course_lib.apps.ratings import rating_baselines
from course_lib.collab import CollabDataLoaders, collab_learner, principal_angles, set_seed
from course_lib.data.drawn_ratings import draw_ratings, mean_ratings, rating_moments


@pytest.fixture(scope='module')
def drawn():
    "Some 480,000 ratings, enough to know everybody well; a trained learner; the best possible error on its validation set."
    d = draw_ratings(7, n_users=1000, n_items=1000, n_ratings=3_000_000)
    df = pd.DataFrame(dict(user=d['user'], film=d['item'], rating=d['rating'], time=d['timestamp']))
    dls = CollabDataLoaders.from_df(df, seed=0, bs=2048, cont_names='time')
    set_seed(0)
    learn = collab_learner(dls, 4, y_range=(0, 5.5), wd=.01)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(6, 1e-2)
    rows = dls.valid_ds.to.items.index
    best, variance = rating_moments(mean_ratings(d['people'], d['films'], d['user'][rows], d['item'][rows], d['year'][rows]))
    return d, learn, best, variance.mean()


def test_near_the_noise_floor(drawn):
    "Validation error within 3 % of that of somebody who knows every taste; the floor is a floor, and biases alone stay far above it."
    d, learn, best, floor = drawn
    y = learn.dls.valid_ds.ratings.numpy()
    assert ((best - y)**2).mean() == pytest.approx(floor, rel=.01)
    mse = learn.validate()[0]
    assert floor < mse < 1.03 * floor
    others = rating_baselines(learn.dls)
    assert others['mean']['mse'] > 1.5 * floor and others['biases alone']['mse'] > 1.1 * floor


def test_planted_space_is_found(drawn):
    "The learnt factors of films span the space of the planted ones; factors drawn by chance do not."
    d, learn, *_ = drawn
    names = list(learn.dls.classes['film'])[1:]
    planted = torch.tensor(d['films']['position'][names])
    assert principal_angles(learn.model.weight(names), planted).max() < 27
    assert principal_angles(torch.randn(len(names), 4), planted).min() > 75


def test_biases_are_found(drawn):
    "Generosity of people and quality of films, each in the order of the planted ones."
    d, learn, *_ = drawn
    for col, truth, is_item in (('user', d['people'], False), ('film', d['films'], True)):
        names = list(learn.dls.classes[col])[1:]
        assert np.corrcoef(learn.model.bias(names, is_item=is_item), truth['bias'][names])[0, 1] > (.9 if is_item else .7)
