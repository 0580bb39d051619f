"Lessons run where their reader stands: a plain Jupyter in another folder, nothing set, no network, nothing in the cache."
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from nbs import lessons, nbs, notebooks, root

pytestmark = pytest.mark.slow


def bare(home):
    "The environment of somebody who has set nothing, on a machine whose network leads nowhere."
    kept = {k: v for k, v in os.environ.items() if not k.startswith(('COURSE_LIB', 'XDG_', 'IPYTHON', 'JUPYTER', 'MPL', 'TQDM'))
            and k not in ('IN_TEST', 'PYTHONPATH')}
    nowhere = 'http://127.0.0.1:9'
    return kept | dict(HOME=str(home), USERPROFILE=str(home), http_proxy=nowhere, https_proxy=nowhere, no_proxy='127.0.0.1,localhost')


@pytest.mark.parametrize('lesson', ['0_start/01_first_model', '1_cats_and_dogs/01_three_lines', '5_collaborative_filtering/01_films_in_three_lines'])
def test_plain_jupyter(lesson, tmp_path):
    "`jupyter nbconvert --execute`, from a folder with nothing but the notebook."
    pytest.importorskip('nbconvert')
    here = tmp_path/'here'
    here.mkdir()
    shutil.copy(nbs/f'{lesson}.ipynb', here/'lesson.ipynb')
    cmd = [sys.executable, '-m', 'nbconvert', '--to', 'notebook', '--execute', '--output', 'done.ipynb', 'lesson.ipynb']
    done = subprocess.run(cmd, cwd=here, env=bare(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    code = [c for c in json.loads((here/'done.ipynb').read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
    said = ''.join(''.join(o.get('text', '')) for c in code for o in c['outputs'])
    assert 'drawn on this machine' in said and not [o for c in code for o in c['outputs'] if o['output_type'] == 'error']


def readme_block():
    "The first block of Python in the README."
    return re.search(r'```python\n(.+?)```', (root/'README.md').read_text(encoding='utf-8'), re.S)[1]


def test_the_readme_runs(tmp_path):
    "The three lines, pasted into an empty Python in an empty folder (the wheel's test does the same without the checkout)."
    done = subprocess.run([sys.executable, '-c', readme_block()], cwd=tmp_path, env=bare(tmp_path) | dict(PYTHONPATH=str(root)),
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.strip().split('\n')[-1].split()[3]) > .85, done.stdout


def test_twice_in_one_process(tmp_path):
    "And once more in the same Python: nothing is registered twice, the second run finds what the first has kept."
    code = readme_block()
    done = subprocess.run([sys.executable, '-c', f'{code}\n{code}'], cwd=tmp_path, env=bare(tmp_path) | dict(PYTHONPATH=str(root)),
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count('computed in') == 2 and done.stdout.count('activations of 800 pictures found') == 1, done.stdout


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() == 0, reason='root may write everywhere')
def test_no_place_for_the_cache(tmp_path):
    "A home that cannot be written to: one line that says what to set."
    (tmp_path/'home').mkdir(mode=0o500)
    done = subprocess.run([sys.executable, '-c', readme_block()], cwd=tmp_path, env=bare(tmp_path/'home') | dict(PYTHONPATH=str(root)),
                          capture_output=True, text=True)
    assert done.returncode and 'set COURSE_LIB_HOME to your own folder' in done.stderr, done.stderr


def test_home_leads_everywhere():
    "The home page and the README link to each lesson."
    for path, prefix in ((nbs/'index.ipynb', ''), (root/'README.md', 'nbs/')):
        text = path.read_text(encoding='utf-8')
        missing = [o for o in lessons if f']({prefix}{o}/index.ipynb)' not in text]
        assert not missing, f'{path.name} has no link to {missing}: edit nbs/index.ipynb, then make export'
    assert all(p.exists() for p in notebooks())
