"Tables as they come: everything wrong with one is refused by name, or said and survived."
import numpy as np
import pandas as pd
import pytest

from course_lib.tabular.all import *   # noqa: F403

for name in [n for n in globals() if n.startswith('test_')]: del globals()[name]   # the star brings fastcore's, which are no tests of ours


def people(n=80, seed=0):
    rng = np.random.default_rng(seed)
    df = pd.DataFrame({'age': rng.integers(18, 80, n), 'hours': rng.normal(40, 9, n), 'job': rng.choice(['clerk', 'cook', 'pilot'], n)})
    return df.assign(pay=np.where(df.age > 50, 'high', 'low'), euros=df.age * 30.)


def loaders(df, cat=('job',), cont=('age', 'hours'), y='pay', splits=None, procs=(Categorify, FillMissing, Normalize), **kwargs):
    splits = splits or (range(len(df) - len(df) // 4), range(len(df) - len(df) // 4, len(df)))
    return TabularPandas(df, list(procs), list(cat), list(cont), y, splits=splits, **kwargs).dataloaders(16)


def damaged(column, value, rows=(3,)):
    df = people().astype({'hours': object, 'age': object} if isinstance(value, str) else {})
    df.loc[list(rows), column] = value
    return df


refused = {
    'no such target': (lambda: loaders(people(), y='wage'), "has no column 'wage'"),
    'a target is missing': (lambda: loaders(damaged('pay', None, (3, 70))), r"2 of 80 rows have no target 'pay': 2 rows \(3, 70\)"),
    'a number to predict is missing': (lambda: loaders(damaged('euros', np.nan), y='euros'), r"1 of 80 rows have no target 'euros': 1 row \(3\)"),
    'no value at all': (lambda: loaders(people().assign(hours=np.nan)), "'hours' has no value at all in the training rows"),
    'infinite': (lambda: loaders(damaged('hours', np.inf, (3, 9))), r"'hours' is infinite in 2 rows \(3, 9\)"),
    'an infinite target': (lambda: loaders(damaged('euros', np.inf), y='euros'), "'euros' is infinite in 1 row"),
    'text among numbers': (lambda: loaders(damaged('hours', '1,234')), "'hours' should hold numbers, but has '1,234' in row 3"),
    'a date among numbers': (lambda: loaders(people().assign(hours=pd.Timestamp('2024-01-01'))), "'hours' holds dates: add_datepart"),
    'two columns of one name': (lambda: loaders(people().rename(columns={'hours': 'age'})), "several columns have the same name: 'age'"),
    'no rows': (lambda: loaders(people()[:0], splits=([], [])), 'the table has no rows'),
    'one row': (lambda: loaders(people()[:1], splits=([0], [])), 'one training row only'),
    'nothing to train on': (lambda: loaders(people(), splits=([], range(80))), 'no training rows'),
    'a class that training lacks': (lambda: loaders(people().assign(pay=['low'] * 40 + ['high'] * 40), splits=(range(40), range(40, 80))), 'high'),
    'a split beyond the end': (lambda: loaders(people(), splits=(range(60), range(60, 90))), 'splits name row 89'),
    'no kind of column': (lambda: loaders(people(), cat=[], cont=[]), 'name at least one column'),
    'dates that are none': (lambda: add_datepart(pd.DataFrame({'day': ['2024-01-01', 'soon', '2024-13-01']}), 'day'), "'soon' in row 1"),
    'no such median': (lambda: loaders(people(), procs=[FillMissing('medium')]), 'one of median, mean, mode, constant'),
    'gaps, and nothing to fill them': (lambda: loaders(damaged('hours', np.nan), procs=[Categorify]), "'hours' has 1 gaps: add FillMissing"),
    'words, and nothing to number them': (lambda: loaders(people(), procs=[Normalize]), "'job' is not numbered yet: add Categorify"),
}


@pytest.mark.parametrize('what', refused)
def test_refused(what):
    make, said = refused[what]
    with pytest.raises((ValueError, KeyError), match=said): make()


def test_survived(capsys):
    "A constant column is named; mixed types and a category without values are no trouble."
    df = people().assign(hours=40., mixed=[1, 'a', None, 2.5] * 20, empty=np.nan)
    dls = loaders(df, cat=['job', 'mixed', 'empty'])
    assert "column 'hours' is 40 in every training row" in capsys.readouterr().out
    assert [len(dls.classes[n]) for n in ('job', 'mixed', 'empty')] == [4, 4, 1]
    assert dls.one_batch()[1].isfinite().all()


def test_new_rows():
    "Any order of columns, more columns, unseen values, one row, a dict; a missing column is refused by its name."
    dls, later = loaders(people()), people(9, 1).drop(columns='pay')
    same = [dls.test_dl(df).one_batch() for df in (later, later[later.columns[::-1]], later.assign(more=1))]
    for b in same[1:]:
        for x, y in zip(same[0], b): assert torch.equal(x, y)
    assert dls.test_dl(later.assign(job='astronaut')).one_batch()[0].eq(0).all()
    for one in (later.iloc[0], later.iloc[0].to_dict(), later[:1]): assert torch.equal(dls.test_dl(one).one_batch()[1], same[0][1][:1])
    with pytest.raises(ValueError, match="the new data has no column 'job'"): dls.test_dl(later.drop(columns='job'))
    with pytest.raises(ValueError, match='no items were given'): dls.test_dl(later[:0])


def test_kinds_of_target():
    "A number, several numbers, classes, tags, a class beside a number; the model's outputs and the loss fit."
    df = people().assign(tall=lambda o: (o.age % 2).astype(int), old=lambda o: (o.age > 40).astype(int))
    tags = MultiCategoryBlock(encoded=True, vocab=['tall', 'old'])
    for y, block, c in (('euros', None, 1), (['euros', 'age'], None, 2), ('pay', None, 2), (['tall', 'old'], tags, 2),
                        (['pay', 'euros'], [CategoryBlock(), RegressionBlock()], 3)):
        dls = loaders(df, cont=['hours'], y=y, y_block=block)
        assert dls.c == c, y
        if dls.loss_func is None: continue
        learn = tabular_learner(dls, layers=[8])
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
        assert np.isfinite(learn.validate()[0]), y


def test_class_weights():
    "A loss with weights, and rows drawn so that classes are level."
    df = people(400).assign(pay=lambda o: np.where(o.age > 74, 'high', 'low'))
    to = TabularPandas(df, [Categorify, Normalize], 'job', ['age', 'hours'], 'pay', splits=(range(300), range(300, 400)))
    share = torch.cat([b[-1] for b in to.dataloaders(32, weights='balanced').train]).float().mean()
    assert .4 < share < .6 and to.y.mean() != share
    learn = tabular_learner(to.dataloaders(32), layers=[8], loss_func=CrossEntropyLossFlat(weight=torch.tensor([9., 1.])))
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-2)
    assert np.isfinite(learn.validate()[0])


def test_small_types():
    "A column takes the fewest bytes that hold it, and the tensors too."
    df = people().assign(big=range(100_000, 100_080))
    to = TabularPandas(df, [Categorify], 'job', ['age', 'hours', 'big'], 'pay')
    assert [str(to.items[n].dtype) for n in ('job', 'age', 'hours', 'big', 'pay')] == ['int8', 'int8', 'float32', 'int32', 'int8']
    assert to.dataloaders(8).train_ds.tensors[0].dtype == torch.int8


def test_same_classes_however_text_is_kept():
    "Text of Arrow in pieces, of Python objects, with gaps, in a categorical: the same numbers for the same words."
    words = ['cook', None, 'clerk', 'cook', 'pilot', None, 'clerk', 'cook']
    kept = dict(objects=pd.Series(words, dtype=object), pieces=pd.concat([pd.Series(words[:3]), pd.Series(words[3:])], ignore_index=True),
                strings=pd.Series(words, dtype='string'), categories=pd.Series(words).astype('category'))
    for how, col in kept.items():
        df = pd.DataFrame({'job': col, 'y': np.arange(8.)})
        for splits in (None, (range(8), []), ([7, 6, 5, 4, 3, 2, 1, 0], [])):
            to = TabularPandas(df, [Categorify], 'job', y_names='y', splits=splits)
            order = range(8) if splits is None else splits[0]
            assert list(to.classes['job']) == ['#na#', 'clerk', 'cook', 'pilot'], how
            assert to.items.job.tolist() == [[2, 0, 1, 2, 3, 0, 1, 2][i] for i in order], (how, splits)
            assert list(to.items.index) == list(order)


def test_order_of_rows_and_other_columns():
    "Training rows first, each with its own label, and columns that nobody asked for come along."
    df = people().assign(day=pd.date_range('2024-01-01', periods=80, tz='Europe/Berlin'), note='x').set_index(np.arange(80) * 10)
    to = TabularPandas(df, [Categorify, FillMissing, Normalize], 'job', ['age', 'hours'], 'euros', splits=([5, 3, 79], [0, -1]))
    assert to.items.index.tolist() == [50, 30, 790, 0, 790] and len(to.valid) == 2
    assert to.items.day.tolist() == df.day.iloc[[5, 3, 79, 0, 79]].tolist() and set(to.items) == set(df)
    assert to.decode().items.job.tolist()[:3] == df.job.iloc[[5, 3, 79]].tolist()


def test_dates_of_every_kind():
    "Zones, gaps, leap years, every unit, text and objects: the same parts; what cannot be one clock is refused."
    import datetime
    day = dict(Year=2024, Month=2, Week=9, Day=29, Dayofweek=3, Dayofyear=60, Is_month_end=True)
    moments = pd.Series(pd.to_datetime(['2024-02-29']))
    for col in (*(moments.astype(f'datetime64[{unit}]') for unit in ('s', 'ms', 'us', 'ns')), moments.dt.tz_localize('Asia/Tokyo'),
                pd.Series(['2024-02-29']), pd.Series([datetime.date(2024, 2, 29)]), pd.Series(['2024-02-29']).astype('category'),
                pd.Series(pd.period_range('2024-02-29', periods=1, freq='D'))):
        parts = add_datepart(pd.DataFrame({'d': col}), 'd', prefix='').iloc[0]
        assert {k: parts[k] for k in day} == day, col.dtype
    berlin = pd.DataFrame({'d': moments.dt.tz_localize('UTC').dt.tz_convert('Europe/Berlin')})
    assert add_datepart(berlin, 'd', prefix='', time=True).loc[0, ['Hour', 'Elapsed']].tolist() == [1, 1709164800]
    gap = add_datepart(pd.DataFrame({'d': pd.Series([pd.NaT, moments[0]])}), 'd', prefix='', time=np.True_, more=True)
    assert gap.loc[0, ['Year', 'Week', 'Hour', 'Elapsed']].isna().all() and gap.Quarter[1] == 1 and gap.Days_in_month[1] == 29
    with pytest.raises(ValueError, match="'d' mixes distances from UTC"):
        add_datepart(pd.DataFrame({'d': ['2024-03-30T12:00+01:00', '2024-03-31T12:00+02:00']}), 'd')


def test_a_million_categories(capsys):
    "As many values as rows: named, and capped or hashed by choice."
    df = pd.DataFrame({'site': [f'site {i}' for i in range(1_000_000)], 'y': 0.})
    df.loc[0, 'y'] = 1.
    for choice, classes, kind in ((dict(), 1_000_001, 'int32'), (dict(max_n=100), 101, 'int8'), (dict(n_hash=100), 101, 'int8')):
        to = TabularPandas(df, [Categorify(**choice)], 'site', y_names='y')
        assert (len(to.classes['site']), str(to.items.site.dtype)) == (classes, kind)
        assert ("category 'site' has 1,000,000 values" in capsys.readouterr().out) == (not choice)


def test_target_among_inputs(capsys):
    "It is left out there, and that is said."
    dls = loaders(people(), cat=['job', 'pay'])
    assert 'is left out there' in capsys.readouterr().out
    assert 'pay' not in list(dls.cat_names) and list(dls.y_names) == ['pay']


def test_words_numbered_in_threads():
    "Of a long table the columns of words are numbered side by side: row by row what each gives alone."
    n, rng = 130_000, np.random.default_rng(0)
    df = pd.DataFrame({c: rng.choice([*'abcdefgh'], n) for c in 'pqrs'}).assign(y=rng.choice(['no', 'yes'], n))
    df.loc[::7, 'q'] = None
    df['r'] = df.r.astype(object)
    to = TabularPandas(df, [Categorify], list('pqrs'), [], 'y', splits=(range(100_000), range(100_000, n)))
    for c in 'pqrs':
        classes = np.array(list(to.procs.fs[0].classes[c]), dtype=object)
        assert classes[to.items[c].to_numpy()].tolist() == df[c].astype(object).where(df[c].notna(), '#na#').tolist()
