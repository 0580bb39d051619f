"What is wrong with a table of ratings is said in one line that names the item and the way out; what can be used is used. One test a fault."
import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import course_lib.callback.schedule   # noqa: F401 (gives fit_one_cycle)
from course_lib.collab import CollabDataLoaders, ImplicitDataLoaders, collab_learner, implicit_learner, leave_last_out, set_seed
from course_lib.learner import load_learner


def table(n_users=12, n_items=15, seed=0):
    "A full table, in half stars, with times."
    rng = np.random.default_rng(seed)
    user, item = (a.flatten() for a in np.meshgrid(range(1, n_users + 1), range(100, 100 + n_items), indexing='ij'))
    rating = rng.integers(1, 11, len(user)) / 2
    return pd.DataFrame(dict(user=user, item=item, rating=rating, timestamp=rng.permutation(len(user)) + 10**9))


def trained(df, **kwargs):
    set_seed(1)
    learn = collab_learner(CollabDataLoaders.from_df(df, bs=16, **{'seed': 1, **kwargs}), 4, y_range=(0, 5.5))
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2, 5e-3)
    return learn


@pytest.mark.parametrize('column', ['user', 'item', 'rating'])
def test_gap(column):
    "A pair without user, item or stars: named with its rows; left out as told, it works."
    df = table().astype(object)
    df.loc[[3, 7], column] = None
    with pytest.raises(ValueError, match=rf"2 of 180 ratings have no '{column}' \(rows 3, 7\).*dropna") as e: CollabDataLoaders.from_df(df)
    assert '\n' not in str(e.value)
    assert len(CollabDataLoaders.from_df(df.dropna().infer_objects(), seed=1).train_ds) == 143


def test_pair_rated_twice(capsys):
    "The last one counts, and it is said; never one in training and its double in validation."
    df = pd.concat([table(), table().head(5).assign(rating=.5)], ignore_index=True)
    dls = CollabDataLoaders.from_df(df, seed=1)
    assert '5 ratings repeat a pair of user and item' in capsys.readouterr().out
    kept = pd.concat([dl.dataset.to.items for dl in dls.loaders])
    assert len(kept) == 180 and set(kept.index) == set(range(5, 185))
    with pytest.raises(ValueError, match='one of last, first, mean, keep'): CollabDataLoaders.from_df(df, duplicates='any')


def test_outside_y_range(capsys):
    "A note, as in fastai, where training goes on: a sigmoid comes as near as it can."
    dls = CollabDataLoaders.from_df(table().assign(rating=lambda d: d.rating.where(d.index != 4, 8.)), seed=1)
    collab_learner(dls, y_range=(0, 5.5))
    assert re.search(r'ratings in (training|validation) run from .* outside y_range=\(0, 5\.5\).*y_range=', capsys.readouterr().out)


def test_ids_of_any_kind():
    "Words, whole numbers and numbers with a fraction of zero name the same people and train the same model."
    models = {}
    for kind, change in dict(int=lambda c: c, float=lambda c: c.astype(float), words=lambda c: c.map('u{:03}'.format)).items():
        learn = trained(table().assign(user=lambda d: change(d.user)))
        models[kind] = learn.pred_matrix()
        for name in dict(int=[3, '3', 3.], float=[3, '3', 3.], words=['u003'])[kind]: assert learn.recommend(name, 2, exclude_seen=False).shape == (2, 2)
    assert all(m.equal(models['int']) for m in models.values())
    mixed = table().astype({'user': object})
    mixed.loc[mixed.user == 3, 'user'] = 'three'
    assert trained(mixed).recommend('three', 1, exclude_seen=False).shape == (1, 2)


@pytest.mark.parametrize('bad', [np.inf, 'good'])
def test_rating_that_is_no_number(bad):
    df = table().astype({'rating': object if isinstance(bad, str) else float})
    df.loc[5, 'rating'] = bad
    with pytest.raises(ValueError, match="'?rating'?"): CollabDataLoaders.from_df(df)


def test_user_without_training_ratings():
    "All of a user's ratings are in validation: predicted from the films alone, and no row was trained for them."
    df = table()
    learn = trained(df, valid_idx=df.index[df.user == 7].tolist())
    assert 7 not in learn.dls.classes['user'].o2i and len(learn.dls.valid_ds) == 15 and np.isfinite(learn.validate()[0])
    said = learn.predict_pairs([7, 'anybody'], [100, 100], unknown='mean')
    assert said[0] == said[1] and 0 < said[0] < 5.5 and learn.model.u_weight.weight[0].abs().max() == 0
    with pytest.raises(ValueError, match='training knows no user 7'): learn.recommend(7)
    assert len(learn.recommend_to({100: 5}, 3)) == 3


def test_unknown_names_get_the_nearest():
    learn = trained(table().assign(item=lambda d: d.item.map('The Film ({})'.format), user=lambda d: d.user.map('ann{}'.format)))
    for ask in (lambda: learn.predict(('ann1', 'The Film (10)')), lambda: learn.similar('the film 100'), lambda: learn.because('ann1', 'The Flm (100)'),
                lambda: learn.model.bias(['The Film 100']), lambda: learn.newcomer({'Film (100)': 4})):
        with pytest.raises(ValueError, match=r"no item .*did you mean 'The Film \(1"): ask()
    with pytest.raises(ValueError, match=r"no user 'anne1': did you mean 'ann1"): learn.recommend('anne1')
    with pytest.raises(ValueError, match=r"no user 'zzz': there are 12"): learn.recommend('zzz')


def test_one_user_only():
    learn = trained(table(n_users=1, n_items=40))
    assert learn.pred_matrix().shape == (1, learn.dls.n_items - 1) and learn.pred_matrix().isfinite().all()
    assert len(learn.recommend(1, 5, exclude_seen=False)) == 5 and len(learn.ask(2)) == 2


def test_times_in_any_order():
    "What came last is held out, however the rows are sorted."
    df = table()
    for order in (df, df.sort_values('timestamp'), df.sample(frac=1, random_state=3)):
        hidden = order[leave_last_out(order, 'user')]
        assert hidden.set_index('user').timestamp.to_dict() == df.groupby('user').timestamp.max().to_dict()
    a, b = (ImplicitDataLoaders.from_df(o) for o in (df, df.sample(frac=1, random_state=3)))
    assert a.held_out.key.equal(b.held_out.key) and a.train_pairs.key.equal(b.train_pairs.key)
    with pytest.raises(ValueError, match='1 rows have no timestamp'): ImplicitDataLoaders.from_df(df.assign(timestamp=df.timestamp.where(df.index > 0)))


def test_files(tmp_path):
    "Learners of both kinds come back from a file that runs nothing; anything else is refused."
    learn, some = trained(table()), table().sample(frac=.6, random_state=1)
    watched = implicit_learner(ImplicitDataLoaders.from_df(some), 4)
    with watched.no_bar(), watched.no_logging(): watched.fit_one_cycle(1, 2e-2)
    for o, one in ((learn, learn.recommend_to({100: 5}, 3)), (watched, watched.recommend_to([100, 101], 3))):
        o.path = tmp_path
        again = load_learner(o.export('model.pkl'))
        assert type(again) is type(o)
        pd.testing.assert_frame_equal(again.recommend(3, 5, exclude_seen=False), o.recommend(3, 5, exclude_seen=False))
        pd.testing.assert_frame_equal(again.recommend_to(*[{100: 5}, 3] if o is learn else [[100, 101], 3]), one)
        with pytest.raises(ValueError, match='exclude_seen=False'): again.recommend(3)
    import pickle
    (tmp_path/'evil.pkl').write_bytes(pickle.dumps(print))
    with pytest.raises(ValueError, match='is a pickle'): load_learner(tmp_path/'evil.pkl')


def run(*words, cwd):
    code = 'import sys; from course_lib.cli import main; sys.exit(main())'
    done = subprocess.run([sys.executable, '-c', code, *map(str, words)], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, 'COURSE_LIB_DATA': 'sample', 'TQDM_DISABLE': '1'})
    return done.stdout, done.stderr, done.returncode


def test_command(tmp_path):
    "Train on a table of one's own, ask for lists, fill in a table with the saved model."
    table(30, 40).sample(frac=.6, random_state=1).to_csv(tmp_path/'my.csv', index=False)
    (tmp_path/'me.csv').write_text('item,rating\n100,5\n101,1\n')
    out, err, status = run('train', 'ratings', 'my.csv', '--epochs', 2, '--n-factors', 4, '--recommend', 3, '--similar', 105,
                           '--newcomer', 'me.csv', '--ask', 3, '--out', 'out', '--json', cwd=tmp_path)
    assert (status, err) == (0, ''), err
    told = json.loads(out.strip().split('\n')[-1])
    assert {'mse', 'rmse', 'precision@10', 'recall@10', 'ndcg@10', 'coverage@10'} <= told.keys() and len(told['ask']) == 3
    assert all(len(told[k]) == 10 for k in ('recommended', 'alike', 'newcomer')) and 'because' in told['recommended'][0]
    page = (tmp_path/'out'/'report.html').read_text(encoding='utf-8')
    assert page.count('<img alt="') == 2 and 'For a newcomer for me.csv' in page

    (tmp_path/'pairs.csv').write_text('user,item,note\n3,100,a\n999,100,b\n')
    out, err, status = run('predict', 'out/model.pkl', 'pairs.csv', '--out', 'filled.csv', '--keep', 'note', cwd=tmp_path)
    filled = pd.read_csv(tmp_path/'filled.csv')
    assert (status, err) == (0, '') and list(filled) == ['user', 'item', 'note', 'prediction'] and filled.prediction.between(0, 5.5).all()


def test_log_command(tmp_path):
    "The same for who bought what: train, ask, score pairs, and a mistake in one line."
    table(30, 60).sample(frac=.4, random_state=1)[['user', 'item', 'timestamp']].to_csv(tmp_path/'log.csv', index=False)
    (tmp_path/'basket.csv').write_text('item\n100\n101\n')
    train = 'train', 'bought', 'log.csv', '--epochs', 2, '--n-factors', 4, '--out', 'out'
    out, err, status = run(*train, '--recommend', 3, '--similar', 105, '--newcomer', 'basket.csv', '--json', cwd=tmp_path)
    assert (status, err) == (0, ''), err
    told = json.loads(out.strip().split('\n')[-1])
    assert {'hit@10', 'ndcg@10', 'coverage@10'} <= told.keys() and [len(told[k]) for k in ('recommended', 'alike', 'newcomer')] == [10, 10, 10]
    (tmp_path/'pairs.csv').write_text('user,item\n3,100\n999,100\n')
    out, err, status = run('predict', 'out/model.pkl', 'pairs.csv', '--json', cwd=tmp_path)
    assert (status, err) == (0, '') and [p['score'] is None for p in json.loads(out.strip().split('\n')[-1])['predictions']] == [False, True]
    out, err, status = run(*train[:-1], 'no', '--similar', 1055, cwd=tmp_path)
    assert status == 2 and "item '1055' is not in the data; near: " in err and err.count('\n') == 1 and not (tmp_path/'no').exists()


@pytest.mark.parametrize('words, said', [('--recommend nobody', 'knows no user'), ('--similar 1099', 'did you mean'), ('--rating stars', "no column 'stars'"),
                                         ('--newcomer no.csv', 'no such file'), ('--ask -1', 'ask=-1'), ('--epochs 0', 'epochs should be above 0')])
def test_wrong_words(words, said, tmp_path):
    table(30, 40).to_csv(tmp_path/'my.csv', index=False)
    out, err, status = run('train', 'ratings', 'my.csv', '--n-factors', 4, *words.split(), '--out', 'out', cwd=tmp_path)
    assert status == 2 and said in err and err.count('\n') == 1 and 'Traceback' not in err
    assert not (tmp_path/'out').exists()
