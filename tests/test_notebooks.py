"Every notebook runs from top to bottom within its budget, on generated data, without a warning of ours."
from importlib.util import find_spec

import pytest
from nbs import head, nbs, notebooks
from run_nb import run_apart

budget = 60   # seconds of processor time for one notebook, with one thread, on a machine that has nothing else to do
extras = {'3_multi_label/01_once_more_in_keras.ipynb': 'keras'}   # notebooks that need an extra; the extra `dev` brings it along
longest_first = sorted(notebooks(), key=lambda p: -head(p)['seconds'])


@pytest.mark.parametrize('path', longest_first, ids=[p.relative_to(nbs).as_posix() for p in longest_first])
def test_notebook(path, record_property):
    extra = extras.get(path.relative_to(nbs).as_posix())
    if extra and find_spec(extra) is None: pytest.skip(f'this page needs {extra}: pip install "course_lib[{extra}]"')
    passed, errors, seconds, slowness, of_others = run_apart(path)
    record_property('seconds', round((seconds + of_others) / slowness, 1))   # for tools/page_times.py
    assert passed, f'{path.relative_to(nbs)} failed\n{errors[-6000:]}'
    assert seconds < budget * slowness, (f'{path.relative_to(nbs)} took {seconds:.0f} s of processor time, on a machine that was '
                                         f'{slowness:.2f} times as slow as usual; at most {budget} s')
