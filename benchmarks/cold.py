"""What can be said about newcomers: films that nobody rated, from genres and year; users, from their first ratings.

Real MovieLens: a tenth of the users and a tenth of the films are kept away from training altogether.
"""
from common import main

spec = dict(
    title='Cold start: MovieLens',
    what='Alternating least squares (8 factors) on 90 % of the users and 90 % of the films. Films without ratings get factors from their genres '
         'and year; users without, from their first 0, 5 and 20 ratings, folded in and judged on all later ones. Mean squared errors; '
         'for users the mean over people, so that one who rated thousands counts once.',
    sides=dict(model='factors for newcomers', mean="the mean of the user, or of the film"),
    measures=dict(film=dict(text='new films, no ratings', better='low', quality=True), user5=dict(text='new users, 5 ratings', better='low', quality=True),
                  user0=dict(text='new users, no ratings', better='low', quality=True), user20=dict(text='new users, 20 ratings', better='low', quality=True)),
    ratios=[['model', 'mean', m, None] for m in ('film', 'user0', 'user5', 'user20')],
    rounds=3, threads=1, data='real', source='ML_LATEST_SMALL', sample='movielens',
    about_data='MovieLens ml-latest-small, 100,836 ratings, from the mirror')


def parts(args):
    "Numbers of users and films, stars, and which ratings are for what."
    import pandas as pd
    import torch
    from course_lib.torch_core import set_seed
    ratings, movies = pd.read_csv(args.data/'ratings.csv').sort_values('timestamp', kind='stable'), pd.read_csv(args.data/'movies.csv')
    movies = movies[movies.movieId.isin(ratings.movieId)].reset_index(drop=True)
    user = torch.tensor(pd.factorize(ratings.userId, sort=True)[0])
    item = torch.tensor(movies.set_index('movieId').index.get_indexer(ratings.movieId))
    stars = torch.tensor(ratings.rating.to_numpy(copy=True)).float()
    order = torch.tensor(ratings.groupby('userId').cumcount().to_numpy(copy=True))
    set_seed(args.round)
    new_user, new_item = torch.rand(int(user.max()) + 1) < .1, torch.rand(len(movies)) < .1
    at = dict(train=~new_user[user] & ~new_item[item], film=new_item[item] & ~new_user[user], user=new_user[user] & ~new_item[item])
    return movies, user, item, stars, order, new_user, new_item, at


def by_person(error, user):
    "The mean squared error of each person, averaged over people."
    import torch
    sums, counts = user.new_zeros(int(user.max()) + 1).float().index_add_(0, user, error.square()), torch.bincount(user)
    return (sums / counts)[counts > 0].mean().item()


def model(args):
    from course_lib.collab.cold import Facts, FactorTable, Tower, als, fit_tower, fold_in, prior_of, rate_pairs, year_of
    movies, user, item, stars, order, new_user, new_item, at = parts(args)
    n_users, n_items, k = len(new_user), len(new_item), 8
    def mse(pred, rows): return (pred.clamp(.5, 5) - stars[rows]).square().mean().item()
    t = at['train']
    users, items = als(user[t], item[t], stars[t], n_users, n_items, k, l2=12.)
    movies['year'] = year_of(movies.title)
    facts = Facts(movies[~new_item.numpy()], tags='genres', conts=['year'])
    tower = Tower(len(facts.names), k, hidden=30)
    fit_tower(tower, facts(movies), users, item[t], user[t], stars[t], epochs=60, wd=1.)
    guessed = FactorTable(*(o.detach() for o in tower(facts(movies))))
    out = dict(film=mse(rate_pairs(users, user[at['film']], guessed, item[at['film']]), at['film']))
    prior, l2 = prior_of(FactorTable(users.factors[~new_user], users.bias[~new_user]), noise=1.5)
    for n in (0, 5, 20):
        first, rest = at['user'] & (order < n), at['user'] & (order >= n)
        folded = fold_in(items, item[first], stars[first], user[first], n_users, l2, prior)
        out[f'user{n}'] = by_person(rate_pairs(folded, user[rest], items, item[rest]).clamp(.5, 5) - stars[rest], user[rest])
    return out


def mean(args):
    movies, user, item, stars, order, new_user, new_item, at = parts(args)
    overall = stars[at['train']].mean()
    def mean_of(numbers, n, rows):
        return ((stars[rows].new_zeros(n).index_add_(0, numbers[rows], stars[rows]) + overall) / (numbers[rows].bincount(minlength=n) + 1))
    def mse(pred, rows): return (pred - stars[rows]).square().mean().item()
    out = dict(film=mse(mean_of(user, len(new_user), at['train'])[user[at['film']]], at['film']))
    of_film = mean_of(item, len(new_item), at['train'])
    for n in (0, 5, 20):
        rest = at['user'] & (order >= n)
        first = at['user'] & (order < n)
        off = mean_of(user, len(new_user), first) - overall      # how generous the user was so far
        out[f'user{n}'] = by_person((of_film[item[rest]] + off[user[rest]]).clamp(.5, 5) - stars[rest], user[rest])
    return out


if __name__ == '__main__': main(dict(model=model, mean=mean))
