"The measurements in benchmarks/: their plans fit together, their results are whole, and a small one runs."
import importlib
import json
import re
import subprocess
import sys

import pytest
from nbs import cells, notebooks, root, text

here = root/'benchmarks'
results = sorted((here/'results').glob('*.json'))
of_results = pytest.mark.parametrize('path', results, ids=[p.stem for p in results])


@pytest.fixture(autouse=True)
def _path(monkeypatch): monkeypatch.syspath_prepend(str(here))


def test_plans():
    "Every side is a function, every ratio is about sides and measures that exist."
    for script in sorted(set(importlib.import_module('run').benchmarks.values())):
        module = importlib.import_module(script)
        spec = module.spec
        assert {'title', 'what', 'sides', 'measures', 'ratios', 'rounds', 'threads'} <= spec.keys(), script
        for side in spec['sides']: assert callable(getattr(module, side, None)), f'{script}.py has no function for the side {side}'
        for of, to, measure, target in spec['ratios']:
            assert {of, to} <= spec['sides'].keys() and measure in spec['measures'], f'{script}.py: ratio {of} / {to}, {measure}'


@of_results
def test_result(path):
    "Whole, of a real run, following from its own runs, without a trace of whose machine it was."
    from course_lib.results import Measured, summary
    raw = path.read_text(encoding='utf-8')
    record = json.loads(raw)
    assert not (found := re.findall(r'"(?:/|[A-Z]:)[^"]*|~/[^"]*', raw)), f'folders of a machine: {found}'
    assert record['name'] == path.stem and not record['quick']
    assert json.loads(json.dumps(summary(record))) == record['summary']
    assert record['machine'].keys() == {'cpu', 'cores', 'memory_gb', 'system', 'instructions'}
    assert len(record['runs']) == record['rounds'] * len(record['sides'])
    assert record['command'] in Measured(path.stem, record)._repr_markdown_()


def test_pages_show_the_results():
    "A page that shows a result file was saved after it: tools/save_notebooks.py PAGE makes its outputs anew."
    from course_lib.results import measured
    seen = 0
    for page in notebooks():
        for c in cells(page):
            for shown in [text(o['data']['text/markdown']) for o in c.outputs if 'text/markdown' in o.get('data', {})]:
                name = re.search(r'by `make (?:bench NAMES=)?(\w+)[^`]*`: (?:median|one run)', shown)
                if not name: continue
                assert shown == measured(name[1])._repr_markdown_(), f'{page.relative_to(root)}, cell {c.id}: {name[1]}.json is newer'
                seen += 1
    assert seen > 30


def test_a_small_run(tmp_path):
    "One benchmark, our sides only: a result is written where it was asked for, and nothing half-made is left."
    done = subprocess.run([sys.executable, here/'run.py', 'engine', '--quick', '--rounds', '2', '--sides', 'ours', 'bare', '--out', tmp_path],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path/'engine.json').read_text(encoding='utf-8'))
    assert [p.name for p in tmp_path.iterdir()] == ['engine.json'] and record['quick']
    assert [r['side'] for r in record['runs']] == ['bare', 'ours', 'ours', 'bare']
    accuracy = {r['side']: r['values']['accuracy'] for r in record['runs']}
    assert abs(accuracy['ours'] - accuracy['bare']) < 0.03   # the same network, batches and steps


def test_wrong_name():
    done = subprocess.run([sys.executable, here/'run.py', 'enigne'], capture_output=True, text=True)
    assert done.returncode == 2 and 'no benchmark enigne: there are imports, engine' in done.stderr


def test_a_side_of_another_machine_is_added_without_its_seconds(tmp_path):
    "Accuracies do not depend on the machine; seconds do, and so they stay away."
    run = importlib.import_module('run')
    texts, measures = dict(a='A', b='B'), dict(right=dict(text='right', quality=True), seconds=dict(text='seconds'))
    def result(machine, side, date):
        return dict(machine=machine, threads=1, load=0., seconds=5, date=date, commit='c', title='', what='', measures=measures, sides={side: texts[side]},
                    runs=[dict(round=0, side=side, values=dict(right=.5, seconds=3.))])
    (tmp_path/'x.json').write_text(json.dumps(result('m', 'a', 'Monday')))
    old = run.standing(tmp_path/'x.json', dict(machine='n', threads=1), dict(ratios=[]))
    both = run.added(old, result('n', 'b', 'Tuesday'), texts)
    assert [r['values'] for r in both['runs']] == [dict(right=.5, seconds=3.), dict(right=.5)]
    assert (both['machine'], both['date'], both['seconds']) == ('m', 'Monday', 5)
    assert both['elsewhere'] == dict(b=dict(date='Tuesday', machine='n', commit='c'))
    moved = run.added(both, result('n', 'a', 'Friday'), texts)   # nothing is left of the first machine
    assert 'elsewhere' not in moved and (moved['machine'], moved['date']) == ('n', 'Friday') and [r['values'] for r in moved['runs']] == [dict(right=.5)] * 2
    again = run.added(both, result('m', 'b', 'Friday'), texts)   # measured again where the others were: seconds as well
    assert 'elsewhere' not in again and again['runs'][1]['values'] == dict(right=.5, seconds=3.) and again['date'] == 'Friday'


def test_a_side_is_added(tmp_path):
    "In its own place, the others as they were; what does not fit is said before anything is measured."
    run = importlib.import_module('run')
    texts, same = dict(a='A', b='B', c='C'), dict(machine='m', threads=1)
    def result(value, load, *sides):
        return same | dict(load=load, seconds=5, sides={s: texts[s] for s in sides}, measures={}, runs=[dict(round=0, side=s, values=dict(x=value)) for s in sides])
    file = tmp_path/'x.json'
    with pytest.raises(RuntimeError, match='no x.json yet'): run.standing(file, same, dict(ratios=[]))
    file.write_text(json.dumps(result(0, 1., 'a', 'c')))
    both = run.added(run.standing(file, same, dict(ratios=[])), result(1, 2., 'b', 'c'), texts)
    assert list(both['sides']) == [r['side'] for r in both['runs']] == ['a', 'b', 'c']
    assert [r['values']['x'] for r in both['runs']] == [0, 1, 1] and (both['load'], both['seconds']) == (2., 10)
    with pytest.raises(RuntimeError, match='another threads'): run.standing(file, same | dict(threads=2), dict(ratios=[]))
    with pytest.raises(RuntimeError, match='took turns'): run.standing(file, same, dict(ratios=[['a', 'b', 'x', None]]))
