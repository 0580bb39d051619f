"Predictions for many files: Ray's processes and this one write the same bytes, and memory does not grow with the file."
import hashlib
import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from course_lib.apps.bulk import _start_ray, predict_parquet
from course_lib.tabular.all import Categorify, CategoryBlock, FillMissing, Normalize, TabularDataLoaders, tabular_learner
from course_lib.torch_core import set_seed


def exported(folder):
    set_seed(0)
    df = pd.DataFrame(dict(x=np.random.randn(200), kind=np.where(np.arange(200) % 3, 'a', 'b')))
    df['level'] = np.where(df.x > 0, 'high', 'low')
    dls = TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], cat_names=['kind'], cont_names=['x'], y_names='level', y_block=CategoryBlock(), path=folder)
    learn = tabular_learner(dls, layers=[8])
    with learn.no_logging(), learn.no_bar(): learn.fit(1, 0.01)
    return learn.export('level.pkl')


def new_rows(folder, *sizes):
    (folder/'new').mkdir()
    for i, n in enumerate(sizes):
        pd.DataFrame(dict(id=np.arange(n) + 10**6 * i, x=np.random.default_rng(i).normal(size=n), kind='a')).to_parquet(folder/f'new/{i}.parquet')
    return folder/'new'


def hashes(folder): return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


@pytest.mark.slow
def test_ray_writes_the_same_bytes(tmp_path, monkeypatch):
    ray = pytest.importorskip('ray')
    monkeypatch.setenv('RAY_worker_niceness', '0')   # at Ray's own 15 its workers get a thirtieth of a busy machine
    model, files = exported(tmp_path), new_rows(tmp_path, 5000, 1, 3000)
    how = dict(keys=['id'], rows=1000)
    here = predict_parquet(model, files, tmp_path/'here', **how)
    try: _start_ray(1)   # once for both calls
    except RuntimeError: _start_ray(1)   # on a busy machine it may be too late the first time
    assert predict_parquet(model, files, tmp_path/'ray', **how, engine='ray') == here == {'0.parquet': 5000, '1.parquet': 1, '2.parquet': 3000}
    assert hashes(tmp_path/'here') == hashes(tmp_path/'ray')
    assert pd.read_parquet(tmp_path/'ray/2.parquet').id.tolist() == pd.read_parquet(files/'2.parquet').id.tolist()
    pd.DataFrame(dict(id=[1], x=['many'], kind=['a'])).to_parquet(files/'odd.parquet')
    with pytest.raises(ValueError, match='odd.parquet, rows from 0'): predict_parquet(model, files, tmp_path/'ray', **how, engine='ray')
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads the peak from /proc')
def test_memory_does_not_grow_with_the_file(tmp_path):
    model, files = exported(tmp_path), new_rows(tmp_path, 50_000, 1_000_000)
    code = textwrap.dedent(f'''
        import sys
        from course_lib.apps.bulk import predict_parquet
        predict_parquet({str(model)!r}, sys.argv[1], {str(tmp_path/"out")!r}, ['id'], rows=10_000)
        print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))''')
    peaks = [int(subprocess.run([sys.executable, '-c', code, files/f'{i}.parquet'], capture_output=True, text=True, check=True,
                                env=dict(os.environ, OMP_NUM_THREADS='1')).stdout.split()[-1]) / 1024 for i in (0, 1)]
    assert peaks[1] < peaks[0] + 120, f'{peaks} MB'
