"Recipes for tables on real data from a mirror, shortened, each with a floor. Part of `make real`, as test_real_data.py is."
import os

import pytest

pytestmark = [pytest.mark.real,
              pytest.mark.skipif(not os.environ.get('COURSE_LIB_MIRROR'), reason='COURSE_LIB_MIRROR names no mirror of real data')]


@pytest.fixture(autouse=True)
def real_data(monkeypatch, tmp_path):
    "Real data instead of generated ones, in a cache that is thrown away."
    monkeypatch.delenv('COURSE_LIB_DATA', raising=False)
    monkeypatch.setenv('COURSE_LIB_HOME', str(tmp_path/'cache'))


def test_adult():
    "The census on all columns, half the epochs: the majority is 0.76, boosted trees reach 0.87."
    from course_lib.apps.adult import train
    result = train('real', epochs=3)
    assert result.metrics['accuracy'] > .865, result.summary()
    assert result.metrics['accuracy'] > result.baselines['boosted trees']['accuracy'] - .008, result.summary()


def test_any_table(tmp_path, capsys):
    "The same census as a file that nobody has said anything about, a part of it as Parquet; and predictions for the rest."
    import pandas as pd
    from course_lib.apps.table import predict_rows, train
    from course_lib.data.external import URLs, untar_data
    df = pd.read_csv(untar_data(URLs.ADULT_SAMPLE)/'adult.csv', skipinitialspace=True)
    df[:12_000].to_parquet(tmp_path/'some.parquet')
    df[12_000:].to_csv(tmp_path/'rest.csv', index=False)
    result = train(tmp_path/'some.parquet', 'salary', epochs=3, boosting=False, out=tmp_path/'out')
    assert result.metrics['accuracy'] > .845, result.summary()
    predict_rows(result.files['model'], tmp_path/'rest.csv', tmp_path/'preds.csv')
    said = pd.read_csv(tmp_path/'preds.csv').salary
    assert (said == df.salary[12_000:].reset_index(drop=True)).mean() > .845
