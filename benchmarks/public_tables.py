"""Ten public tables that packages bring with them: `course_lib train table`, as it comes, beside scikit-learn's boosted trees, as they come.

The tables were chosen before anything was measured: from 178 to 20,190 rows, numbers and classes, nothing to download. Same rows for training and
validation, same columns; a round has its own split. The peers' environment has the packages and writes the tables as CSV files, once.
"""
import contextlib
import io
import subprocess
import sys
import time

from common import here, main, root

tables = dict(   # name: (package, column to predict, kind, what it is)
    diabetes=('sklearn', 'target', 'number', 'diabetes: progression after a year'),
    breast_cancer=('sklearn', 'target', 'class', 'breast cancer: benign or malignant'),
    wine=('sklearn', 'target', 'class', 'wine: which of three growers'),
    digits=('sklearn', 'target', 'class', 'digits: which of ten, from 64 pixels'),
    anes96=('statsmodels', 'vote', 'class', 'American election of 1996: the vote'),
    fair=('statsmodels', 'affairs', 'number', 'Fair: time spent in affairs'),
    randhie=('statsmodels', 'mdvis', 'number', 'RAND: visits to a doctor'),
    modechoice=('statsmodels', 'choice', 'class', 'travel: was this way to travel chosen?'),
    cars=('vega', 'Miles_per_Gallon', 'number', 'cars: miles per gallon'),
    seattle_weather=('vega', 'weather', 'class', 'weather in Seattle, the last fifth by date'))

spec = dict(
    title='Ten public tables: the recipe beside boosted trees',
    what='`course_lib train table FILE --target COLUMN` on ten tables that scikit-learn, statsmodels and vega_datasets bring with them; a fifth of the '
         'rows judges, another in each round. Boosted trees: scikit-learn\'s HistGradientBoosting as it comes, on the same rows and columns, with its '
         'own treatment of categories. Numbers: root of the mean squared error. Classes: accuracy. Ratios: below 1 where the net is better. Wanted: '
         'within 5 % of the trees or better on at least eight of the ten. Where trees are better, the command says so.',
    sides=dict(ours='course_lib train table', trees='HistGradientBoosting'),
    measures={n: dict(text=f'{what}; {"RMSE" if kind == "number" else "accuracy"}', better='low' if kind == 'number' else 'high', quality=True)
              for n, (_, _, kind, what) in tables.items()} | dict(
        within=dict(text='tables within 5 % of the trees, or better', better='high', quality=True), seconds=dict(text='seconds for all ten', better='low')),
    ratios=[['trees', 'ours', 'within', 1.25],   # ten of the trees' own to eight
            *(['ours', 'trees', n, None] if kind == 'number' else ['trees', 'ours', n, None] for n, (_, _, kind, _) in tables.items())],
    rounds=3, threads=1)


def frame_of(name):
    "One of the tables, from the package that brings it."
    package = tables[name][0]
    if package == 'sklearn':
        from sklearn import datasets
        found = getattr(datasets, f'load_{name}')(as_frame=True)
        df = found.frame
        if hasattr(found, 'target_names') and tables[name][2] == 'class': df['target'] = [str(found.target_names[i]) for i in found.target]
        return df
    if package == 'statsmodels':
        import statsmodels.api as sm
        return getattr(sm.datasets, name).load_pandas().data
    from vega_datasets import local_data
    return getattr(local_data, name)()


def write(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names: frame_of(name).to_csv(folder/f'{name}.csv', index=False)


def files_of(args):
    "Name -> CSV file. A quick run has only what scikit-learn brings."
    names = [n for n in tables if not args.quick or tables[n][0] == 'sklearn']
    folder = root/'out'/'bench'/'tables'
    lost = [n for n in names if not (folder/f'{n}.csv').exists()]
    if lost and args.quick: write(folder, lost)
    elif lost:
        from run import peers, python_of
        code = f'import pathlib, public_tables as t; t.write(pathlib.Path({str(folder)!r}), {lost!r})'
        subprocess.run([python_of(peers), '-W', 'ignore', '-c', code], check=True, cwd=here)
    return {n: folder/f'{n}.csv' for n in names}


def ours(args):
    from course_lib.apps.table import train, worth_a_word
    found, said, start = {}, {}, time.perf_counter()
    for name, file in files_of(args).items():
        _, target, kind, _ = tables[name]
        with contextlib.redirect_stdout(io.StringIO()):
            result = train(file, target, kind, seed=args.round, epochs=1 if args.quick else None)
        found[name] = result.metrics['rmse' if kind == 'number' else 'accuracy']
        said[name] = f'{result.seconds:.1f} s. {worth_a_word(result)}'.strip()
    took, theirs = time.perf_counter() - start, trees(args)
    ratios = {n: found[n] / theirs[n] if tables[n][2] == 'number' else theirs[n] / found[n] for n in found}
    return dict(found, within=float(sum(r <= 1.05 for r in ratios.values())), seconds=took, said=said)


def trees(args):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    from course_lib.apps.table import _split_column, ready_target
    from course_lib.tabular.all import Categorify, TabularPandas
    from course_lib.tabular.prepare import plan_columns, split_rows
    from course_lib.tabular.reading import learn_table
    found, start = {}, time.perf_counter()
    for name, file in files_of(args).items():
        _, target, kind, _ = tables[name]
        with contextlib.redirect_stdout(io.StringIO()):
            raw, held = learn_table(file)
            df, is_class = ready_target(held.read(raw), target, kind)
            splits = split_rows(df, _split_column(df.drop(columns=target), 'auto'), seed=args.round, classes=target if is_class else None)
            prepare, _ = plan_columns(df.iloc[splits[0]], target, types=held.of_target(target, df[target]))
            to = TabularPandas(prepare(df), Categorify, prepare.cat, prepare.cont, splits=splits)
        made = HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor
        mask = [n in to.classes and len(to.classes[n]) <= 255 for n in to.x_names]
        model = made(random_state=args.round, categorical_features=mask if any(mask) else None)
        y, valid = df[target].iloc[splits[0]], df[target].iloc[splits[1]]
        said = model.fit(to.train.xs.to_numpy('float32'), y).predict(to.valid.xs.to_numpy('float32'))
        found[name] = float((said == valid).mean()) if is_class else float(((said - valid)**2).mean()**.5)
    return dict(found, within=float(len(found)), seconds=time.perf_counter() - start)


if __name__ == '__main__': main(dict(ours=ours, trees=trees))
