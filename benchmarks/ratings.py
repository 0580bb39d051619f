"""Ratings: the same model on MovieLens in course_lib and in fastai; the whole matrix of predictions.

Dot product with biases, 50 factors, batches of 64, three epochs of one cycle, each with its validation.
"""
import time

from common import best_of, declare_operators, main

spec = dict(
    title='Ratings: MovieLens, three epochs',
    what='ml-latest-small, 100,836 ratings, a random fifth for validation (the same in both): dot product with biases, 50 factors, batches of 64, '
         'three epochs of one cycle up to 5e-3, validation after each, each library with the optimizer it comes with; fastai with wd 0.1, as '
         'its book has it. Matrix: all 610 users and 9,724 films, weights as they are.',
    sides=dict(ours='course_lib', fastai='fastai'),
    measures=dict(epoch=dict(text='seconds an epoch', better='low'), mse=dict(text='mean squared error', better='low', quality=True),
                  matrix=dict(text='seconds for the whole matrix', better='low')),
    ratios=[['ours', 'fastai', 'epoch', round(1 / 6, 3)], ['ours', 'fastai', 'mse', 1.]],
    rounds=3, threads=1, epochs=3, data='real', source='ML_LATEST_SMALL', sample='movielens', about_data='ml-latest-small, from the mirror')


def measured(args, learn):
    learn.create_opt()   # the first torch optimizer of a process imports torch._dynamo, whoever makes it
    n = 1 if args.quick else spec['epochs']
    with learn.no_bar(), learn.no_logging():
        start = time.perf_counter()
        learn.fit_one_cycle(n, 5e-3)
        epoch = (time.perf_counter() - start) / n
    return dict(epoch=epoch, mse=float(learn.recorder.values[-1][1]))


def ratings(args):
    import pandas as pd
    return pd.read_csv(args.data/'ratings.csv')


def ours(args):
    import course_lib.callback.schedule
    import torch
    from course_lib.collab import CollabDataLoaders, collab_learner, set_seed
    dls = CollabDataLoaders.from_df(ratings(args), seed=args.round)
    set_seed(args.round)
    learn = collab_learner(dls, y_range=(0, 5.5), wd=.1, with_fame=False)   # the same model: no features
    done = measured(args, learn)
    full = collab_learner(CollabDataLoaders.from_df(ratings(args), valid_pct=0.), y_range=(0, 5.5))
    return {**done, 'matrix': best_of(lambda: full.pred_matrix())}


def fastai(args):
    declare_operators()
    from fastai.collab import CollabDataLoaders, collab_learner
    from fastai.basics import set_seed
    import torch
    dls = CollabDataLoaders.from_df(ratings(args), seed=args.round, bs=64)
    set_seed(args.round)
    learn = collab_learner(dls, n_factors=50, y_range=(0, 5.5), wd=.1)
    done = measured(args, learn)
    m, (n, k) = learn.model, [len(c) for c in learn.dls.classes.values()]

    def matrix():   # fastai has none of its own: the shortest way with its names
        with torch.no_grad():
            return torch.sigmoid(m.u_weight.weight @ m.i_weight.weight.T + m.u_bias.weight + m.i_bias.weight.T) * 5.5
    return {**done, 'matrix': best_of(matrix)}


if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
