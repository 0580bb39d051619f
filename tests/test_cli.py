"The `course_lib` command as a user meets it: processes, what they print, their exit status, and what they leave behind."
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

tiny = '--epochs 1 --size 32 --bs 4 --json'.split()


def run(*words, cwd, **env):
    "(standard output, error stream, exit status) of one call, in an interpreter of its own."
    code = 'import sys; from course_lib.cli import main; sys.exit(main())'
    done = subprocess.run([sys.executable, '-c', code, *map(str, words)], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, 'COURSE_LIB_DATA': 'sample', 'TQDM_DISABLE': '1', **env})
    return done.stdout, done.stderr, done.returncode


def last_json(text): return json.loads(text.strip().split('\n')[-1])


def draw(folder, *kinds, n=6, size=(40, 32)):
    "A folder of `n` plain pictures for each kind."
    colours = dict(grass=(60, 140, 50), sky=(90, 150, 220), sand=(200, 180, 120))
    for kind in kinds:
        (folder/kind).mkdir(parents=True)
        for i in range(n): Image.new('RGB', size, colours[kind]).save(folder/kind/f'{i}.png')
    return folder


@pytest.fixture
def photos(tmp_path): return draw(tmp_path/'photos', 'grass', 'sky')


def one_line(err): return err.count('\n') == 1 and err.startswith('course_lib') and 'Traceback' not in err


def test_list(tmp_path):
    "Quick, complete, and without PyTorch."
    start = time.perf_counter()
    out, err, status = run('list', '--json', cwd=tmp_path)
    took, told = time.perf_counter() - start, last_json(out)
    assert (status, err) == (0, '')
    assert 'dogscats' in told['apps'] and {'dogs', 'nietzsche', 'imdb'} <= set(told['data'])
    assert took < 5, f'{took:.1f} s'


@pytest.mark.parametrize('words', ['', 'list', 'data', 'lesson', 'predict', 'train', 'train dogscats'])
def test_help(words, tmp_path):
    out, err, status = run(*words.split(), '--help', cwd=tmp_path)
    assert (status, err) == (0, '') and out.startswith(f'usage: course_lib {words}'.strip())
    assert len(out.split('\n\n')[1]) > 20, 'says what it does'


def test_data(tmp_path):
    "Generated data: the folder is named on the last line, and is there."
    out, err, status = run('data', 'human_numbers', cwd=tmp_path, COURSE_LIB_HOME=str(tmp_path/'cache'))
    assert (status, err) == (0, '')
    assert (Path(out.strip().split('\n')[-1])/'train.txt').exists()


def test_train_predict(photos, tmp_path):
    "Train on a folder, find model, figures and page; ask the model about files; the same seed gives the same numbers."
    out, err, status = run('train', 'dogscats', '--data', photos, '--out', 'mine', *tiny, cwd=tmp_path)
    assert (status, err) == (0, ''), err
    facts = last_json(out)
    assert set(facts['metrics']) <= set(facts) and 0 <= facts['accuracy'] <= 1 and facts['seconds'] > 0
    assert facts['baselines']['majority class']['accuracy'] >= .5
    assert facts['settings']['epochs'] == 1 and facts['settings']['seed'] == 0
    page = (tmp_path/facts['files']['page']).read_text(encoding='utf-8')
    assert page.count('<img alt="') >= 5 and 'alt=""' not in page and '<script' not in page and 'http' not in page
    assert sorted(p.name for p in (tmp_path/'mine').iterdir()) == ['figures', 'model.pkl', 'report.html']

    again, _, _ = run('train', 'dogscats', '--data', photos, '--out', 'again', *tiny, cwd=tmp_path)
    assert {k: last_json(again)[k] for k in facts['metrics']} == {k: facts[k] for k in facts['metrics']}

    asked = [photos/'sky'/'0.png', photos/'grass'/'0.png']
    out, err, status = run('predict', 'mine/model.pkl', *asked, '--json', cwd=tmp_path)
    told = last_json(out)['predictions']
    assert (status, err) == (0, '') and [p['file'] for p in told] == list(map(str, asked))
    assert all(abs(sum(p['probabilities'].values()) - 1) < 1e-4 and p['label'] in ('grass', 'sky') for p in told)
    assert len(out.strip().split('\n')) == 3


def test_three_classes(tmp_path):
    "As many folders as you like, with train and valid already apart."
    for part, n in dict(train=6, valid=2).items(): draw(tmp_path/'photos'/part, 'grass', 'sky', 'sand', n=n)
    out, err, status = run('train', 'dogscats', '--data', 'photos', *tiny, cwd=tmp_path)
    assert (status, err) == (0, ''), err
    assert last_json(out)['baselines']['majority class']['accuracy'] == pytest.approx(1/3)


wrong_words = {
    'no such command': 'dance',
    'no such application': 'train dogscat',
    'not a number': 'train dogscats --epochs many',
    'no epochs': 'train dogscats --epochs 0',
    'no such folder': 'train dogscats --data nowhere',
    'empty folder': 'train dogscats --data empty',
    'one class only': 'train dogscats --data photos/sky',
    'no such architecture': 'train dogscats --data photos --arch resnet17',
    'out is a file': 'train dogscats --data photos --out photos/sky/0.png',
    'no such lesson': 'lesson 99',
    'no such data set': 'data elephants',
    'no such model': 'predict model.pkl photos/sky/0.png',
    'not a model': 'predict photos/sky/0.png photos/sky/1.png',
    'nothing said': '',
}


@pytest.mark.parametrize('what', wrong_words)
def test_wrong_calls(what, photos, tmp_path):
    "One line on the error stream, status 2, nothing left behind."
    (tmp_path/'empty').mkdir()
    before = sorted(tmp_path.rglob('*'))
    _, err, status = run(*wrong_words[what].split(), cwd=tmp_path)
    assert status == 2 and one_line(err), err
    assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('name,content', {'story.jpg': b'Once upon a time', 'empty.png': b'', 'half.png': None}.items(),
                         ids=['text', 'empty', 'half'])
def test_broken_pictures(name, content, photos, tmp_path):
    "A file that is no picture is named, and nothing is written."
    whole = (photos/'sky'/'0.png').read_bytes()
    (photos/'sky'/name).write_bytes(whole[:len(whole)//2] if content is None else content)
    _, err, status = run('train', 'dogscats', '--data', photos, '--out', 'out', *tiny, cwd=tmp_path)
    assert status == 2 and one_line(err) and name in err, err
    assert not (tmp_path/'out').exists()


def test_class_only_in_validation(tmp_path):
    for part, kinds in dict(train=('grass', 'sky'), valid=('grass', 'sky', 'sand')).items(): draw(tmp_path/'photos'/part, *kinds)
    _, err, status = run('train', 'dogscats', '--data', 'photos', *tiny, cwd=tmp_path)
    assert status == 2 and one_line(err) and 'sand' in err, err


def test_debug(tmp_path):
    "The whole traceback for those who ask."
    _, err, status = run('train', 'dogscats', '--data', 'nowhere', '--debug', cwd=tmp_path)
    assert status == 1 and 'Traceback' in err and 'FileNotFoundError' in err


def test_lesson(tmp_path):
    "What a newcomer types first: the table, accuracy beside the baseline, and a page."
    out, err, status = run('lesson', '1', '--json', cwd=tmp_path)
    assert (status, err) == (0, ''), err
    facts = last_json(out)
    assert 'train_loss' in out and 'majority class 0.5' in out and 'out/lesson_1/report.html' in out
    assert facts['accuracy'] > .8 and (tmp_path/facts['files']['page']).exists()


@pytest.mark.skipif(sys.platform == 'win32', reason='no SIGINT to send')
def test_interrupt(tmp_path):
    "Ctrl-C after some epochs: training ends cleanly, the model is kept and judged."
    code = 'import sys; from course_lib.cli import main; sys.exit(main())'
    started = subprocess.Popen([sys.executable, '-u', '-c', code, 'train', 'dogscats', '--epochs', '500', '--out', 'out', '--json'],
                               cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, 'COURSE_LIB_DATA': 'sample', 'TQDM_DISABLE': '1'},
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    for line in started.stdout:
        if line.split()[:1] == ['1']: break                 # the second row of the table
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=120)
    assert (started.returncode, err) == (0, ''), err
    assert 'Interrupted' in out and (tmp_path/'out'/'model.pkl').exists() and 0 <= last_json(out)['accuracy'] <= 1
