"Every notebook runs from top to bottom within its budget, on generated data, without a warning of ours."
import pytest
from nbs import head, nbs, notebooks
from run_nb import run_apart

budget = 60   # seconds of processor time for one notebook, measured with one thread
longest_first = sorted(notebooks(), key=lambda p: -head(p)['seconds'])


@pytest.mark.parametrize('path', longest_first, ids=[p.relative_to(nbs).as_posix() for p in longest_first])
def test_notebook(path):
    passed, errors, seconds = run_apart(path)
    assert passed, f'{path.relative_to(nbs)} failed\n{errors[-6000:]}'
    assert seconds < budget, f'{path.relative_to(nbs)} took {seconds:.0f} s of processor time; at most {budget} s'
