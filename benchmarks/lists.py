"""Lists from MovieLens without its stars: who watched what, each user's last film to be found among all others.

The settings of lesson 5's page on implicit feedback, on the real log of 610 people; every side sees the same pairs.
"""
import time

from common import main

spec = dict(
    title='Implicit feedback: MovieLens, no stars',
    what="100,836 pairs of 610 people and 9,724 films; each person's last film is held out and looked for among all films the person has not "
         'seen. Learnt sides: 50 factors, 8 films drawn for each pair, 5 epochs in one cycle up to 2e-2, decay 0.3. The library '
         'implicit 0.7 as it comes, but with 50 factors, sees the same pairs and is judged alike.',
    sides=dict(popular='the favourites of all', bce='binary cross entropy', bpr='pairwise (BPR)', softmax='softmax over the drawn',
               implicit_als='the library implicit: its ALS', implicit_bpr='… its BPR'),
    measures=dict(hit=dict(text='found among the first ten', better='high', quality=True), ndcg=dict(text='NDCG at 10', better='high', quality=True),
                  coverage=dict(text='share of all films shown to anybody', better='high', quality=True), seconds=dict(text='seconds', better='low')),
    ratios=[['softmax', 'popular', 'ndcg', None], ['softmax', 'implicit_als', 'ndcg', None], ['bpr', 'popular', 'ndcg', None], ['bce', 'popular', 'ndcg', None]],
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


def peer(args, make):
    "The library implicit, among the peers, without course_lib: the last film of each is hidden in the same way."
    import numpy as np
    import pandas as pd
    from scipy.sparse import csr_matrix
    df = pd.read_csv(args.data/'ratings.csv')
    user, item = (pd.factorize(df[c], sort=True)[0] for c in ('userId', 'movieId'))
    last = df.sort_values('timestamp', kind='stable').groupby('userId').tail(1).index
    rest = ~df.index.isin(last)
    shape = user.max() + 1, item.max() + 1
    seen = csr_matrix((np.ones(rest.sum(), np.float32), (user[rest], item[rest])), shape)
    start, model = time.perf_counter(), make()
    model.fit(seen, show_progress=False)
    top, _ = model.recommend(user[last], seen[user[last]], N=10, filter_already_liked_items=True)
    hits = top == item[last][:, None]
    found = dict(hit=hits.any(1).mean(), ndcg=(hits / np.log2(np.arange(10) + 2)).sum(1).mean(), coverage=len(np.unique(top)) / shape[1])
    return judged({k: float(v) for k, v in found.items()}, start)


def implicit_als(args):
    from implicit.als import AlternatingLeastSquares
    return peer(args, lambda: AlternatingLeastSquares(factors=50, random_state=args.round, **(dict(iterations=1) if args.quick else {})))


def implicit_bpr(args):
    from implicit.bpr import BayesianPersonalizedRanking
    return peer(args, lambda: BayesianPersonalizedRanking(factors=50, random_state=args.round, **(dict(iterations=1) if args.quick else {})))


if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
