"Rows are positions and names are names: labels that repeat, columns called 2 or `age_na`, users with one rating, six rows, 400 columns."
import contextlib
import io
import os

import numpy as np
import pandas as pd
import pytest

from course_lib.apps import bought, ratings, table
from course_lib.collab import CollabDataLoaders, ImplicitDataLoaders, leave_last_out
from course_lib.learner_io import load_learner
from course_lib.tabular.all import *   # noqa: F403
from course_lib.tabular.core import find_column, nearest_names
from course_lib.tabular.embeddings import embed_features
from course_lib.tabular.explain import partial_dependence, permutation_importance
from course_lib.tabular.joins import join_df
from course_lib.tabular.prepare import plan_columns, split_rows, table_loaders

for name in [n for n in globals() if n.startswith('test_')]: del globals()[name]   # the star brings fastcore's, which are no tests of ours
procs = [Categorify, FillMissing, Normalize]


def people(n=80, seed=0):
    rng = np.random.default_rng(seed)
    df = pd.DataFrame({'age': rng.integers(18, 80, n).astype(float), 'job': rng.choice(['clerk', 'cook', 'pilot'], n),
                       'day': pd.date_range('2024-01-01', periods=n).astype(str)})
    df.loc[::9, 'age'] = np.nan
    return df.assign(euros=rng.normal(2000, 300, n).round())


labels = {
    'all the same': lambda n: pd.Index([7] * n),
    'two tables, one after the other': lambda n: pd.Index([*range(n // 2), *range(n - n // 2)]),
    'called like a column': lambda n: pd.Index([0, 1] * (n // 2), name='age'),
    'words': lambda n: pd.Index(list('ab') * (n // 2)),
    'days, some twice': lambda n: pd.DatetimeIndex([*pd.date_range('2024-01-01', periods=n // 2)] * 2),
    'two levels': lambda n: pd.MultiIndex.from_arrays([['x'] * n, [1] * n], names=['job', 'euros']),
}


def quiet(f, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()): return f(*args, **kwargs)


@pytest.mark.parametrize('how', labels)
def test_labels_say_nothing(how, capsys):
    "Whatever the labels of a table are, it is prepared, split, encoded, decoded and predicted as the same rows with plain labels."
    df, odd = people(), people().set_axis(labels[how](80))
    splits = split_rows(df, 'day')
    assert all(np.array_equal(a, b) for a, b in zip(splits, split_rows(odd, 'day')))
    prep, said = plan_columns(df.iloc[splits[0]], 'euros')
    assert plan_columns(odd.iloc[splits[0]], 'euros')[1] == said and len(prep(odd)) == 80
    plain, other = (table_loaders(o, 'euros', prep, splits, False) for o in (df, odd))
    for a, b in zip((plain.train_ds, plain.valid.dataset), (other.train_ds, other.valid.dataset)):
        assert all(torch.equal(x, y) for x, y in zip(a.tensors, b.tensors))
    learn = tabular_learner(plain, layers=[8])
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        preds = [learn.get_preds(dl=learn.dls.test_dl(o, with_labels=False))[0] for o in (df, odd)]
        assert torch.equal(*preds) and len(preds[1]) == 80
        turned = [partial_dependence(learn, o, 'job') for o in (df, odd)]
        assert np.allclose(*turned)
    assert np.allclose(embed_features(learn, prep(odd), 'job').filter(like='job_'), embed_features(learn, prep(df), 'job').filter(like='job_'))


@pytest.mark.parametrize('how', labels)
def test_labels_say_nothing_elsewhere(how):
    "Events, joins and last interactions go by rows, too."
    df = pd.DataFrame({'day': pd.date_range('2024-01-01', periods=20).astype(str)[::-1], 'open': [0, 1] * 10, 'shop': list('ab') * 10, 'age': 3})
    odd = df.set_axis(labels[how](20))
    assert get_elapsed(df, 'open', 'day', 'shop').to_numpy().tolist().__repr__() == get_elapsed(odd, 'open', 'day', 'shop').to_numpy().tolist().__repr__()
    towns = pd.DataFrame({'shop': ['a', 'b'], 'town': ['Ulm', 'Bonn']}, index=[0, 0])
    assert join_df(odd, towns, 'shop').town.tolist() == join_df(df, towns, 'shop').town.tolist() and len(join_df(odd, towns, 'shop')) == 20
    assert leave_last_out(odd, 'shop', 'day').tolist() == leave_last_out(df, 'shop', 'day').tolist()


@pytest.mark.parametrize('how', labels)
@pytest.mark.parametrize('duplicates', ['last', 'first', 'mean', 'keep'])
def test_labels_of_ratings(how, duplicates, capsys):
    "`valid_idx` are positions among all rows, also where some are dropped and labels repeat."
    rng = np.random.default_rng(1)
    df = pd.DataFrame({'age': rng.integers(0, 9, 100), 'job': rng.integers(0, 8, 100), 'euros': np.arange(100.)})   # user, item, rating
    odd = df.set_axis(labels[how](100))
    plain, other = (CollabDataLoaders.from_df(o, valid_idx=range(0, 100, 7), duplicates=duplicates, bs=8) for o in (df, odd))
    for a, b in ((plain.train_ds, other.train_ds), (plain.valid_ds, other.valid_ds)):
        assert all(torch.equal(x, y) for x, y in zip(a.tensors, b.tensors))
    if duplicates != 'mean': assert set(plain.valid_ds.ratings.tolist()) <= set(range(0, 100, 7))
    logs = [ImplicitDataLoaders.from_df(o, time_name=None) for o in (df, odd)]
    assert torch.equal(*(o.held_out.key for o in logs))


def test_rows_on_both_sides(capsys):
    "A row that is in training and in validation is counted and said; one that a side names twice is that side's business."
    TabularPandas(people(), procs, 'job', 'age', 'euros', splits=(range(60), range(50, 80)))
    assert '10 row(s) are in training and in validation' in capsys.readouterr().out
    TabularPandas(people(), procs, 'job', 'age', 'euros', splits=([0, 0, 1], [-1, -1, 5]))
    assert 'in training and in validation' not in capsys.readouterr().out


# ---------------------------------------------------------------- names

@pytest.mark.parametrize('own', [['age_na'], ['age_na', 'age_na_']])
@pytest.mark.parametrize('used', [True, False])
def test_a_flag_of_its_own(own, used, tmp_path, capsys):
    "A table that has a column `age_na` keeps it, used or not; the flag takes another name, which a saved model remembers."
    df = people().assign(**{n: list('xyxz') * 20 for n in own})
    flag = own[-1] + '_'
    dls = TabularPandas(df, procs, ['job', *own] if used else ['job'], 'age', 'euros', splits=(range(60), range(60, 80))).dataloaders(16)
    assert f"column 'age_na' is the table's own: gaps of 'age' go to {flag!r}" in capsys.readouterr().out
    to = dls.train_ds.to
    assert list(to.made) == [flag] and set(to.decode().items[own[0]]) == set('xyz') if used else to.items[own[0]].tolist() == df[own[0]].tolist()[:60]
    assert to.items[flag].tolist() == (1 + df.age.isna()[:60]).tolist()
    learn = tabular_learner(dls, layers=[8], path=tmp_path)
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    assert set(permutation_importance(learn).index) == {'age', 'job', *(own if used else [])}
    again, rows = load_learner(learn.export('m.pkl')), df.drop(columns='euros')
    assert torch.equal(again.get_preds(dl=again.dls.test_dl(rows))[0], learn.get_preds(dl=learn.dls.test_dl(rows))[0])


def test_a_flag_of_its_own_in_a_stream(tmp_path):
    df = people(200).assign(age_na=list('xy') * 100)
    df.to_parquet(tmp_path/'a.parquet')
    dls = quiet(TabularDataLoaders.from_parquet, tmp_path/'a.parquet', procs, ['job', 'age_na'], 'age', 'euros', bs=16)
    assert list(dls.cat_names) == ['job', 'age_na', 'age_na_'] and len(dls.classes['age_na']) == 3
    assert dls.test_dl(df).one_batch()[0][:10, 2].tolist() == (1 + df.age.isna()).tolist()[:10]


def test_whole_number_names(tmp_path):
    "A table without names, as NumPy or `header=None` make it: loaders, model, file, importance and the command."
    df = people()[['age', 'job', 'euros']].set_axis([0, 1, 2], axis=1)
    assert cont_cat_split(df, dep_var=2) == ([0], [1]) and list(df_shrink(df)) == [0, 1, 2]
    dls = TabularDataLoaders.from_df(df, tmp_path, procs, cat_names=1, y_names=2, bs=16, seed=0)
    assert (list(dls.cat_names), list(dls.cont_names), list(dls.y_names)) == ([1, '0_na'], [0], [2])
    learn = tabular_learner(dls, layers=[8])
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    again, rows = load_learner(learn.export('m.pkl')), df.drop(columns=2)
    assert torch.equal(again.get_preds(dl=again.dls.test_dl(rows))[0], learn.get_preds(dl=learn.dls.test_dl(rows))[0])
    assert set(permutation_importance(learn).index) == {0, 1} and list(permutation_importance(learn, names=1).index) == [1]
    assert partial_dependence(learn, df, 0, [20, 30]).index.tolist() == [20, 30]
    assert embed_features(learn, df, 1).shape[1] == 2 + dls.train.dataset.to.c + 2
    prep, said = plan_columns(df, 2)
    assert list(said) == [0, 1] and len(quiet(table_loaders, df, 2, prep, split_rows(df), False).train_ds) == 64
    r = pd.DataFrame({0: np.repeat(range(9), 5), 1: np.tile(range(5), 9), 2: np.arange(45) % 5})[::2]
    assert CollabDataLoaders.from_df(r[[1, 0, 2]], user_name=0, item_name=1, rating_name=2, bs=8).user_name == 0
    assert ImplicitDataLoaders.from_df(r[[1, 0]], 0, 1, None).item_name == 1


def test_whole_number_names_in_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people()[['age', 'job', 'euros', 'day']].set_axis([0, 1, 2, 3], axis=1).to_parquet('a.parquet')
    result = quiet(table.train, 'a.parquet', '2', drop='3', epochs=1, boosting=False, out='o')
    assert set(result.importance) == {'0', '1'} and os.path.exists('o/model.pkl')


def test_the_nearest_names():
    wide = [f'g{i}' for i in range(3000)] + ['Sale Price', 'sale_date', 'y']
    assert nearest_names('Y', wide) == ['y'] and nearest_names('saleprice', wide)[0] == 'Sale Price' and len(nearest_names('g', wide)) <= 5
    assert find_column('y', wide) == 'y'
    with pytest.raises(ValueError, match="has no column 'sale price.': did you mean 'Sale Price'"): find_column('sale price.', wide)
    with pytest.raises(ValueError, match="it has 'g0', 'g1'.* and 2995 more"): find_column('zzzz', wide)


# ---------------------------------------------------------------- a user's only rating

def test_an_only_rating_stays_in_training(capsys):
    "Whatever the seed: training knows every user, and with `known='both'` every item; otherwise the split is the random one."
    u, i = (a.ravel() for a in np.meshgrid(range(20), range(15)))
    many = pd.DataFrame({'user': u, 'item': i, 'rating': (u + i) % 5 + 1}).sample(200, random_state=0)
    df = pd.concat([many, pd.DataFrame({'user': range(100, 120), 'item': range(200, 220), 'rating': 5})])   # labels repeat
    for seed in range(5):
        dls = CollabDataLoaders.from_df(df, seed=seed, bs=16)
        assert set(dls.classes['user']) == {'#na#', *df.user} and set(dls.classes['item']) <= {'#na#', *df.item}
        assert 'moved to training: it had none of their user' in capsys.readouterr().out
        both = CollabDataLoaders.from_df(df, seed=seed, bs=16, known='both')
        assert set(both.classes['item']) == {'#na#', *df.item} and len(both.valid_ds) + len(both.train_ds) == 220
        capsys.readouterr()
        CollabDataLoaders.from_df(many, seed=seed, bs=16)
        assert not capsys.readouterr().out
        plain = CollabDataLoaders.from_df(many, seed=seed, bs=16, known='any')
        assert len(plain.valid_ds) == 40


# ---------------------------------------------------------------- few rows, many columns

def rows_of(app, n):
    rng = np.random.default_rng(n)
    if app == 'table': return pd.DataFrame({'a': rng.normal(size=n).round(2), 'b': list('xy' * n)[:n], 'c': np.arange(n) % 2})
    if app == 'bought': return pd.DataFrame({'user': np.arange(n) // 3, 'item': np.arange(n) * 5 % 13})
    return pd.DataFrame({'user': np.arange(n) % 4, 'item': np.arange(n) // 4, 'rating': rng.integers(1, 6, n)})


@pytest.mark.parametrize('app, options', [('table', '--target b'), ('table', '--target a'), ('table', '--target c'), ('ratings', ''), ('bought', '')])
def test_few_rows_train_and_save_or_are_refused(app, options, tmp_path, monkeypatch, capsys):
    "From one row on: either a model is trained, judged and saved, or the table is refused before any epoch."
    from course_lib.cli import main
    monkeypatch.chdir(tmp_path)
    for n in range(1, 14):
        rows_of(app, n).to_csv('a.csv', index=False)
        status = main(f'train {app} a.csv {options} --epochs 2 --out o{n}'.split())
        out, err = capsys.readouterr()
        if status == 0: assert os.path.exists(f'o{n}/model.pkl') and os.path.exists(f'o{n}/report.html'), n
        else: assert status == 2 and 'epoch' not in out and 'fault' not in err and not os.path.exists(f'o{n}'), (n, out, err)
    assert status == 0   # thirteen are enough


def test_many_columns(tmp_path, monkeypatch, capsys):
    "400 columns: not one line for each, no warning, each is shuffled; and the name nearest to a wrong one."
    from course_lib.cli import main
    monkeypatch.chdir(tmp_path)
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 400)).round(3)).add_prefix('g')
    wide.assign(y=np.where(wide.g7 + wide.g9 > 0, 'case', 'control')).to_csv('w.csv', index=False)
    assert main('train table w.csv --target y --epochs 1 --no-boosting --out o'.split()) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 80 and '… and 360 more: number 360' in out and 'what 400 columns are worth' in out
    assert len(pd.read_csv('o/importance.csv')) == 400
    assert main('train table w.csv --target Y'.split()) == 2 and "no column 'Y': did you mean 'y'?" in capsys.readouterr().err
    assert main('train table w.csv --target y --drop g7,h9'.split()) == 2
    said = capsys.readouterr().err
    assert "no column 'h9': did you mean 'g9'" in said and said.count("'g") <= 5
