"The runner of other people's notebooks, tried on small ones that are written here."
import json
import subprocess
import sys
import types

import pytest
import run_cells
from nbs import root


def write(path, *sources):
    "A notebook of these code cells."
    cells = [dict(cell_type='code', source=s, metadata={}, outputs=[], execution_count=None) for s in sources]
    path.write_text(json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)), encoding='utf-8')
    return path


def test_cells_of_notebooks_and_scripts(tmp_path):
    assert run_cells.read_cells(write(tmp_path/'a.ipynb', 'x = 1', 'x')) == ['x = 1', 'x']
    (tmp_path/'b.py').write_text('# %%\nx = 1\n# %% [markdown]\ny = 2\n')
    assert [o.strip() for o in run_cells.read_cells(tmp_path/'b.py')] == ['x = 1', 'y = 2']
    (tmp_path/'c.py').write_text('x = 1\nfor i in x:\n\n    i\n\ny = 2\n')
    assert run_cells.read_cells(tmp_path/'c.py') == ['x = 1\nfor i in x:\n\n    i', 'y = 2']


@pytest.mark.parametrize('src, code', [
    ('!pip install fastai', None), ('%%bash\nls', None), ('%matplotlib inline', None), ('L?', None),
    ('%%time\nx = 1', 'x = 1'), ('%time f(1)', 'f(1)'), ('files = !ls', 'files = []'), ('if a:\n    !ls\nb', 'if a:\n    pass\nb')])
def test_what_is_no_python_is_left_out(src, code): assert run_cells.plain_python(src) == code


@pytest.mark.parametrize('src, code', [
    ('from fastai.vision.all import *', 'from course_lib.vision.all import *'), ('import fastai', 'import course_lib as fastai'),
    ('from fastbook import *', 'from course_lib.book import *'), ('import fastbook', 'import course_lib.book as fastbook'),
    ("print('from fastai')", "print('from fastai')"), ('from my.fastai_things import x', 'from my.fastai_things import x')])
def test_only_import_lines_are_renamed(src, code): assert run_cells.renamed(src) == code


def test_names_that_a_cell_binds():
    assert run_cells.binds('import a.b, c as d\nx, y = 1, 2\ndef f(): pass\nfor i in x: pass') == {'a', 'd', 'x', 'y', 'f', 'i'}
    assert run_cells.binds('not python') == set()


def test_a_table_of_notebooks(tmp_path):
    "Groups are folders; a failure is told from its followers; a cell's time is limited; files and stubs are as the edits say."
    (tmp_path/'course').mkdir()
    write(tmp_path/'course'/'one.ipynb', '!nvidia-smi', 'from pathlib import Path\nimport absent_package', 'absent_package.anything(2)',
          'gone = missing_name', 'gone + 1', 'while True: pass', "Path('data.txt').read_text()", 'epochs = learn.fit(9)')
    edits = dict(stubs=['absent_package'], one=dict(before="open('data.txt', 'w').write('x')", edits=[[r'learn\.fit', 'abs'], [r'abs\.', '']]))
    (tmp_path/'edits.json').write_text(json.dumps(edits))
    done = subprocess.run([sys.executable, root/'tools'/'run_cells.py', tmp_path/'course', '--edits', tmp_path/'edits.json', '--limit', '1',
                           '--misses', tmp_path/'misses.json', '--out', tmp_path/'compat.json'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    row, = json.loads((tmp_path/'misses.json').read_text())
    assert (row['cells'], row['passed']) == (7, 4)
    assert [(c['cell'], c['state'], c['because']) for c in row['misses']] == [(3, 'fail', None), (4, 'follows', 3), (5, 'timeout', None)]
    assert 'missing_name' in done.stdout and 'one' in done.stdout
    record = json.loads((tmp_path/'compat.json').read_text())
    assert record['name'] == 'compat' and record['sides'] == {'course': "the course's notebooks"}
    assert record['runs'][0]['values'] | {'seconds': 0} == dict(notebooks=1, cells=7, passed=4, share=0.5714, seconds=0)


def test_whose_fault_it_is():
    mine = [dict(cell=i, state=s) for i, s in enumerate(['pass', 'fail', 'fail', 'timeout'])]
    theirs = [dict(cell=i, state=s) for i, s in enumerate(['pass', 'pass', 'fail', 'pass'])]
    assert [c['fault'] for c in run_cells.verdicts(mine, theirs)] == ['ours', 'not ours', 'ours']
    assert {c['fault'] for c in run_cells.verdicts(mine, None)} == {'unknown'}


def test_wrong_names():
    done = subprocess.run([sys.executable, root/'tools'/'run_cells.py', 'no_such.ipynb'], capture_output=True, text=True)
    assert done.returncode == 2 and 'no such notebook: no_such.ipynb' in done.stderr


def test_rows_are_replaced_one_by_one():
    row = lambda group, name, n: dict(notebook=name, group=group, values=dict(cells=n))
    old = [row('strangers', 'a', 1), row('course', 'b', 2), row('course', 'a', 3)]
    kept = run_cells.rows_of(dict(notebooks=[dict(notebook=r['notebook'], group=r['group'], **r['values']) for r in old]))
    assert kept == old
    assert run_cells.merged(kept, [row('course', 'b', 9)]) == [row('course', 'a', 3), row('course', 'b', 9), row('strangers', 'a', 1)]


def test_what_fastai_did_is_kept(tmp_path, monkeypatch):
    "Until the notebook, or what is said about it in the edits, changes."
    calls, file, edits = [], tmp_path/'one.ipynb', tmp_path/'edits.json'
    monkeypatch.setattr(run_cells, 'in_a_process', lambda *args: calls.append(args) or [dict(cell=0, state='pass')])
    monkeypatch.setattr(run_cells, 'folders_of', lambda path: '{}')
    args = types.SimpleNamespace(kept=tmp_path/'kept', edits=edits, limit=9, total=9)
    def run(source, **rules):
        write(file, source)
        edits.write_text(json.dumps(rules))
        return run_cells.in_fastai(file, 'python', args), len(calls)
    cells = [dict(cell=0, state='pass')]
    assert [run('1'), run('1'), run('1', other={}), run('2'), run('2', one=dict(skip=[3]))] == [(cells, n) for n in (1, 1, 1, 2, 3)]
