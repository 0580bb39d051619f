"""Ten million generated ratings, one epoch: how fast, how much memory, and how both grow from one million on."""
import resource
import time

from common import main

spec = dict(
    title='Ten million ratings',
    what='Generated ratings: 60,000 users, 6,000 films, 50 factors, batches of 8,192; the loaders from a DataFrame, then an epoch with validation on '
         'a hundredth. Memory is the most that the process held, libraries and DataFrame included.',
    sides=dict(one='1 million ratings', ten='10 million ratings'),
    measures=dict(load=dict(text='seconds to make the loaders', better='low'), epoch=dict(text='seconds of the epoch', better='low'),
                  speed=dict(text='ratings a second', better='high'), memory=dict(text='GB at most', better='low'),
                  mse=dict(text='mean squared error', better='low', quality=True)),
    ratios=[['ten', 'one', 'epoch', None], ['ten', 'one', 'memory', None]],
    rounds=1, threads=1)


def frame(n):
    import pandas as pd
    from course_lib.data.drawn_ratings import draw_ratings
    d = draw_ratings(1, n_users=n * 6 // 1000, n_items=6000, n_ratings=n)
    return pd.DataFrame(dict(user=d['user'].astype('int32'), film=d['item'].astype('int32'), rating=d['rating'].astype('float32')))


def run(args, n):
    import course_lib.callback.schedule
    from course_lib.collab import CollabDataLoaders, collab_learner, set_seed
    df = frame(n // 100 if args.quick else n)
    start = time.perf_counter()
    dls = CollabDataLoaders.from_df(df, valid_pct=.01, seed=1, bs=8192 if not args.quick else 256)
    load = time.perf_counter() - start
    set_seed(1)
    learn = collab_learner(dls, y_range=(0, 5.5))
    start = time.perf_counter()
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 5e-3)
    epoch = time.perf_counter() - start
    return dict(load=load, epoch=epoch, speed=len(dls.train_ds) / epoch, mse=float(learn.recorder.values[-1][1]),
                memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def one(args): return run(args, 1_000_000)
def ten(args): return run(args, 10_000_000)


if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
