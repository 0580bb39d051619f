"The recipes on real data from a mirror (COURSE_LIB_MIRROR: a folder or an address): shortened runs, each with a floor."
import os

import pytest

pytestmark = [pytest.mark.real,
              pytest.mark.skipif(not os.environ.get('COURSE_LIB_MIRROR'), reason='COURSE_LIB_MIRROR names no mirror of real data')]


@pytest.fixture(autouse=True)
def real_data(monkeypatch, tmp_path):
    "Real data instead of generated ones, in a cache that is thrown away."
    monkeypatch.delenv('COURSE_LIB_DATA', raising=False)
    monkeypatch.setenv('COURSE_LIB_HOME', str(tmp_path/'cache'))


def test_dogscats():
    "Lesson 1 on photographs, the head of the pretrained net alone, on pictures smaller than by default: the majority is half."
    from course_lib.apps.dogscats import train
    result = train('real', size=160, epochs=0, tta=1)
    assert result.baselines['majority class']['accuracy'] == .5
    assert result.metrics['accuracy_one_look'] > .96, result.summary()


def test_planet():
    "Tags of aerial photographs (17 of them), from the backbone, shortened: well above always naming the same."
    from course_lib.apps.planet import train
    result = train('real', head=8, epochs=1, size=96, tta=1)
    assert result.settings['arch'] == 'efficientnet_lite0' and result.settings['pretrained']
    assert result.metrics['f2'] > max(.8, result.baselines['the most frequent tags, always']['f2'] + .08), result.summary()


def test_rossmann():
    "The competition's tables (100 shops), one net, shortened: far better than group means, near what boosting reaches."
    from course_lib.apps.rossmann import train
    result = train('real', epochs=4, nets=1, boost=False)
    means = result.baselines['means by shop, weekday and promotion']['rmspe']
    assert abs(means - .1384) < 1e-3, 'the joins, or the last six weeks, are not what they were'
    assert result.metrics['rmspe'] < .118, result.summary()


def test_movielens():
    "100,836 ratings in three epochs: below biases alone, and below the course's 0.776."
    from course_lib.apps.movielens import train
    result = train('real', epochs=3, bs=256)
    assert result.metrics['mse'] < min(.72, result.baselines['biases alone']['mse'] - .03), result.summary()
    assert len(result.recommended) == len(result.alike) == 10


def test_nietzsche():
    "Letters of a real book, a small net and four passes: below counting, which is good at it."
    from course_lib.apps.nietzsche import train
    result = train('real', 'lstm', epochs=4, n_hid=256, drop=.3, lr=1e-2, bs=32, chars=0)
    counts = next(v['nats'] for k, v in result.baselines.items() if k.startswith('counts'))
    assert result.metrics['nats'] < 1.485 < counts < 1.5, result.summary()
