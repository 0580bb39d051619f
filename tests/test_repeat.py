"A lesson run twice gives the same figures and the same pictures: seeds are set, nothing depends on time."
import re
import shutil

import pytest
from nbs import cells, nbs, text
from run_nb import run_apart

lessons = [p for p in (
    '1_cats_and_dogs/01_three_lines', '4_tables_and_text/04_dropout', 'library/callback/lr_find', 'library/vision/augment',
    'library/text/learner')
    if (nbs/f'{p}.ipynb').exists()]
kinds = 'text/plain', 'text/html', 'image/png', 'stream'


def lasting(kind, value):
    "An output without what is said of the cache only once, addresses in memory, and the bytes of workbooks (which hold a date)."
    if kind == 'image/png': return value
    if kind == 'stream': value = [o for o in value.split('\n') if 'activations of' not in o and 'generating the data' not in o]
    return re.sub(r' at 0x[0-9a-f]+|base64,[^"]+', '', '\n'.join(value) if kind == 'stream' else value)


def outputs(path):
    "What the cells of a notebook put out."
    found = []
    for c in cells(str(path)):
        for o in c.outputs:
            if o.get('name') == 'stderr': continue
            data = o.get('data', {}) | ({'stream': o['text']} if 'text' in o else {})
            found += [(c.id, kind, lasting(kind, text(v))) for kind, v in data.items() if kind in kinds]
    return found


@pytest.mark.slow
@pytest.mark.parametrize('lesson', lessons)
def test_twice_alike(lesson, tmp_path):
    runs = []
    for name in 'ab':
        copy = tmp_path/name/f'{lesson}.ipynb'
        copy.parent.mkdir(parents=True)
        shutil.copy(nbs/f'{lesson}.ipynb', copy)
        passed, errors, *_ = run_apart(copy, save=True, clock=False)
        assert passed, errors[-3000:]
        runs.append(outputs(copy))
    first, second = runs
    assert len(first) == len(second) > 3
    differ = [f'cell {a[0]}: {a[1]}\n  {a[2][:300]!r}\n  {b[2][:300]!r}' for a, b in zip(first, second) if a != b]
    assert not differ, f'{len(differ)} of {len(first)} outputs differ between two runs:\n' + '\n'.join(differ[:5])
