"""Lists from MovieLens without its stars: who watched what, each user's last film to be found among all others.

The settings of lesson 5's page on implicit feedback, on the real log of 610 people; every side sees the same pairs.
"""
import time

from common import main

spec = dict(
    title='Implicit feedback: MovieLens, no stars',
    what="100,836 pairs of 610 people and 9,724 films; each person's last film is held out and looked for among all films the person has not "
         'seen. Learnt sides: 50 factors, 8 films drawn for each pair, 5 epochs in one cycle up to 2e-2, decay 0.3.',
    sides=dict(popular='the favourites of all', bce='binary cross entropy', bpr='pairwise (BPR)', softmax='softmax over the drawn'),
    measures=dict(hit=dict(text='found among the first ten', better='high', quality=True), ndcg=dict(text='NDCG at 10', better='high', quality=True),
                  coverage=dict(text='share of all films shown to anybody', better='high'), seconds=dict(text='seconds', better='low')),
    ratios=[['softmax', 'popular', 'ndcg', None], ['bpr', 'popular', 'ndcg', None], ['bce', 'popular', 'ndcg', None]],
    rounds=3, threads=1, epochs=5, data='real', source='ML_LATEST_SMALL', sample='movielens',
    about_data='MovieLens ml-latest-small, 100,836 ratings, from the mirror')


def watched(args):
    import pandas as pd
    from course_lib.collab.implicit import ImplicitDataLoaders
    from course_lib.torch_core import set_seed
    set_seed(args.round)
    return ImplicitDataLoaders.from_df(pd.read_csv(args.data/'ratings.csv'))


def judged(found, start): return dict({k: found[k] for k in ('hit', 'ndcg', 'coverage')}, seconds=time.perf_counter() - start)


def popular(args):
    from course_lib.collab.ranking import by_popularity, rank_metrics
    dls, start = watched(args), time.perf_counter()
    return judged(rank_metrics(by_popularity(dls.seen), dls.held_out, dls.seen), start)


def learnt(loss):
    def side(args):
        import course_lib.callback.schedule
        from course_lib.collab.implicit import implicit_learner, lists_of
        learn = implicit_learner(watched(args), loss=loss, metrics=[])
        start = time.perf_counter()
        with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1 if args.quick else spec['epochs'], 2e-2)
        return judged(lists_of(learn), start)
    return side


bce, bpr, softmax = map(learnt, ('bce', 'bpr', 'softmax'))


if __name__ == '__main__': main(dict(popular=popular, bce=bce, bpr=bpr, softmax=softmax))
