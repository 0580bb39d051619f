"Dog breeds on real photographs from a mirror: a shortened run, with a floor."
import os

import pytest

pytestmark = [pytest.mark.real,
              pytest.mark.skipif(not os.environ.get('COURSE_LIB_MIRROR'), reason='COURSE_LIB_MIRROR names no mirror of real data')]


def test_dogbreeds(monkeypatch, tmp_path):
    "120 breeds from 800 photographs, which the net has seen in ImageNet: the head alone names half of them, and a file to send in."
    monkeypatch.delenv('COURSE_LIB_DATA', raising=False)
    monkeypatch.setenv('COURSE_LIB_HOME', str(tmp_path/'cache'))
    from course_lib.apps.dogbreeds import train
    result = train('real', epochs=0, size=160, tta=1, submit=tmp_path/'breeds.csv.gz')
    alike = result.baselines['each breed alike']
    assert result.metrics['accuracy'] > .5 and result.metrics['log_loss'] < alike['log_loss'] / 2, result.summary()
    import pandas as pd
    assert pd.read_csv(tmp_path/'breeds.csv.gz').shape == (200, 121)
