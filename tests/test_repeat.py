"A lesson run twice gives the same figures and the same pictures: seeds are set, nothing depends on time."
import importlib
import inspect
import pkgutil
import re
import shutil

import pytest
from nbs import cells, nbs, text
from run_nb import run_apart

from course_lib.data.external import URLs, untar_data

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


# Applications with data of their own, made small: every one of its ways of training for an epoch.
small = dict(
    adult=dict(epochs=1), backbone=dict(epochs=1), camvid=dict(epochs=1, arch='course_small', size=64),
    cifar10=dict(epochs=1, rung='batchnorm'), dogbreeds=dict(head=1, epochs=1, more=1, size=48, larger=64),
    dogscats=dict(head=1, epochs=1, size=48, tta=1), imdb=dict(epochs=1), movielens=dict(epochs=1),
    nietzsche=dict(epochs=1, n_hid=32), paddy=dict(models='course_small,course_small:crop', head=1, epochs=1, size=48),
    planet=dict(head=1, epochs=1, more=1, size=48, larger=64), rossmann=dict(epochs=1, nets=2, boost=False))


def test_no_application_is_left_out():
    import course_lib.apps as apps
    found = [importlib.import_module(f'course_lib.apps.{name}') for _, name, _ in pkgutil.iter_modules(apps.__path__)]
    trained = [m for m in found if hasattr(m, 'train') and 'data' in inspect.signature(m.train).parameters]
    assert {m.__name__.rpartition('.')[2] for m in trained} == set(small)


def few_reviews(folder, n=60):
    "The first `n` of each folder of the drawn reviews."
    whole = untar_data(URLs.IMDB)
    for part in ('train/pos', 'train/neg', 'test/pos', 'test/neg', 'unsup'):
        (folder/part).mkdir(parents=True)
        for f in sorted((whole/part).glob('*.txt'))[:n]: shutil.copy(f, folder/part)
    return folder


def few_streets(folder, n=8):
    "The first `n` of every part of the drawn streets: pictures, masks, and which are kept aside."
    whole = untar_data(URLs.CAMVID)
    held = set((whole/'valid.txt').read_text().split())
    for part in ('images', 'labels'): (folder/part).mkdir()
    for aside in (True, False):
        for f in [f for f in sorted((whole/'images').iterdir()) if (f.name in held) == aside][:n]:
            shutil.copy(f, folder/'images')
            shutil.copy(whole/'labels'/f'{f.stem}_P.png', folder/'labels')
    for name in ('codes.txt', 'valid.txt'): shutil.copy(whole/name, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('name', small)
def test_trained_twice_alike(name, tmp_path):
    "The same seed, the same figures and the same weights, whatever the threads that read the pictures were up to."
    train, runs = importlib.import_module(f'course_lib.apps.{name}').train, []
    few = dict(imdb=few_reviews, camvid=few_streets).get(name)
    chosen = small[name] | (dict(data=few(tmp_path)) if few else {})
    for _ in range(2):
        result = train(**chosen)
        said = {k: v for k, v in result.metrics.items() if 'seconds' not in k}
        runs.append((said, [o.detach().clone() for o in result.learn.model.state_dict().values()]))
    (said, weights), (again, weights_again) = runs
    assert said == again
    assert all(bool((a == b).all()) for a, b in zip(weights, weights_again, strict=True))
