"The `course_lib` command as a user meets it: processes, what they print, their exit status, and what they leave behind."
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

tiny = '--head 1 --epochs 1 --size 32 --bs 4 --json'.split()


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
    assert sorted(p.name for p in (tmp_path/'mine').iterdir()) == ['examples', 'figures', 'model.pkl', 'report.html']

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
    'no epochs': 'train dogscats --head 0 --epochs 0',
    'fewer epochs than none': 'train dogscats --epochs -1',
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


@pytest.fixture
def flats(tmp_path):
    "A table as people make them: prices with commas, dates as text, a gap, rows without a price."
    lines, towns = ['nr,sold,town,size,price'], ('Bonn', 'Kiel', 'Ulm')
    for i in range(200):
        size, town = 30 + (i * 37) % 90, towns[i * 7 % 3]
        price = '' if i in (5, 9) else f'"{size * (2000 if town == "Bonn" else 1000) + i % 11 * 100:,}"'
        lines.append(f'{i + 500},2024-{i % 12 + 1:02}-{i % 28 + 1:02},{town},{"" if i == 7 else size},{price}')
    (tmp_path/'flats.csv').write_text('\n'.join(lines))
    (tmp_path/'new.csv').write_text('size,town,sold\n50,Bonn,2025-01-05\n50,Kiel,2025-01-05\n,Oslo,2025-02-28\n')
    return tmp_path/'flats.csv'


def test_table(flats, tmp_path):
    "Any CSV: what was decided is said, the model predicts for new rows in a file of its own, in another process."
    call = 'train table flats.csv --target price --split random --epochs 8 --lr 1e-2 --json'.split()
    out, err, status = run(*call, '--out', 'mine', cwd=tmp_path)
    assert (status, err) == (0, ''), err
    facts = last_json(out)
    for words in ('left out 2 rows (5, 9): no price', '198 rows; price is a number', 'left out: numbers the rows', 'date: split into parts'):
        assert words in out, words
    assert facts['rmse'] < facts['baselines']['mean']['rmse'] and 'boosted trees' in facts['baselines']
    assert set(facts['importance']) >= {'size', 'town'} and facts['columns']['town'] == 'category: 3 values'
    assert sorted(p.name for p in (tmp_path/'mine').iterdir()) == ['importance.csv', 'model.pkl', 'report.html']

    again, _, _ = run(*call, cwd=tmp_path)   # without --out: in out/table
    assert {k: last_json(again)[k] for k in facts['metrics']} == {k: facts[k] for k in facts['metrics']}
    assert (tmp_path/'out'/'table'/'model.pkl').exists()

    out, err, status = run('predict', 'mine/model.pkl', 'new.csv', '--out', 'preds.csv', '--keep', 'town', '--json', cwd=tmp_path)
    assert (status, err) == (0, ''), err
    lines = [line.split(',') for line in (tmp_path/'preds.csv').read_text().strip().split('\n')]
    assert lines[0] == ['town', 'price'] and [o[0] for o in lines[1:]] == ['Bonn', 'Kiel', 'Oslo']
    assert float(lines[1][1]) > float(lines[2][1]) and last_json(out)['rows'] == 3


def test_table_of_classes(flats, tmp_path):
    "Words as the target: a probability for each; amounts over a hundredfold are learnt as logarithms, and come back as amounts."
    out, err, status = run(*'train table flats.csv --target town --epochs 1 --no-boosting --json'.split(), cwd=tmp_path)
    assert (status, err) == (0, ''), err
    run('predict', 'out/table/model.pkl', 'flats.csv', '--out', 'towns.csv', cwd=tmp_path)
    assert (tmp_path/'towns.csv').read_text().startswith('town,p_Bonn,p_Kiel,p_Ulm\n')
    (tmp_path/'huge.csv').write_text('\n'.join(['a,y', *(f'{i},{2 ** (i % 14) * (100 + i % 7)}' for i in range(150))]))
    out, err, status = run(*'train table huge.csv --target y --epochs 1 --no-boosting --out huge --json'.split(), cwd=tmp_path)
    assert (status, err) == (0, '') and 'learnt as its logarithm' in out and 'mape' in last_json(out)['metrics'], err
    out, err, status = run('predict', 'huge/model.pkl', 'huge.csv', '--json', cwd=tmp_path)
    assert (status, err) == (0, '') and last_json(out)['predictions'][0]['y'] > 50, err


@pytest.mark.slow
def test_camvid(tmp_path):
    "A class for every pixel: train on a few drawn streets, then paint a mask of the picture's own size."
    from course_lib.data.samples import make_sample
    make_sample('camvid', dest=tmp_path/'streets', n_drives=5, n_frames=2, h=48, w=64)
    out, err, status = run(*'train camvid --data streets --arch course_small --no-pretrained --epochs 1 --head 0 --out mine --json'.split(), cwd=tmp_path)
    assert (status, err) == (0, ''), err
    facts = last_json(out)
    assert {'accuracy', 'iou', 'valid_loss'} == set(facts['metrics']) and 'forest on single pixels' in facts['baselines']
    asked = next((tmp_path/'streets'/'images').iterdir())
    out, err, status = run('predict', 'mine/model.pkl', asked, '--out', 'masks', '--json', cwd=tmp_path)
    told = last_json(out)['predictions'][0]
    assert (status, err) == (0, '') and Image.open(tmp_path/told['mask']).size == (64, 48), err
    assert sum(told['shares'].values()) == pytest.approx(1)


@pytest.mark.slow
def test_paddy(tmp_path):
    "Two members and two targets: a submission of names, models and a page; the saved model answers both questions."
    from course_lib.data.samples import make_sample
    make_sample('paddy', dest=tmp_path/'rice', n_train=40, n_test=4)
    call = '--models efficientnet_lite0,efficientnet_lite0:crop --head 1 --size 48 --bs 8 --variety --submit sent.csv --out mine --json'
    out, err, status = run(*f'train paddy --data rice {call}'.split(), cwd=tmp_path)
    assert (status, err) == (0, ''), err
    facts = last_json(out)
    assert {'commonest label', 'efficientnet_lite0 alone', 'efficientnet_lite0:crop alone'} <= set(facts['baselines'])
    assert sorted(p.name for p in (tmp_path/'mine').iterdir()) == ['examples', 'member_1.pkl', 'member_2.pkl', 'model.pkl', 'report.html']
    lines = [o.split(',') for o in (tmp_path/'sent.csv').read_text().split()]
    assert lines[0] == ['image_id', 'label'] and [o[0] for o in lines[1:]] == [f'20000{i}.jpg' for i in range(1, 5)]
    out, err, status = run('predict', 'mine/model.pkl', 'rice/test_images/200001.jpg', '--json', cwd=tmp_path)
    told = last_json(out)['predictions'][0]
    assert (status, err) == (0, '') and told['label'].count(', ') == 1 and sum(told['probabilities'].values()) == pytest.approx(2, abs=1e-3), err


@pytest.mark.parametrize('words,said', [('--accum 3', 'choose an accum that divides it'), ('--weights 1,2', '2 weights for 3 models'),
                                        ('--models resnet17', 'resnet17'), ('--data nowhere', 'no such folder')])
def test_paddy_wrong(words, said, tmp_path, monkeypatch, capsys):
    from course_lib.cli import main
    monkeypatch.chdir(tmp_path)
    status, err = main(['train', 'paddy', *words.split()]), capsys.readouterr().err
    assert status == 2 and one_line(err) and said in err and not list(tmp_path.iterdir()), err


wrong_tables = {
    'no target': ('train table flats.csv', "--target with one of 'nr', 'sold', 'town', 'size', 'price'"),
    'no such target': ('train table flats.csv --target rent', "no column 'rent'; it has 'nr'"),
    'several targets': ('train table flats.csv --target price,size', "one target at a time, not 'price,size'"),
    'no such file': ('train table flat.csv --target price', 'no such file: flat.csv'),
    'no table': ('train table new.txt --target price', 'should end in .csv'),
    'no rows': ('train table head.csv --target a', 'a heading and no rows'),
    'one row': ('train table one.csv --target a', "'a' is always 1: nothing to learn"),
    'two rows': ('train table two.csv --target a', '2 row(s): too few to learn from'),
    'the same name twice': ('train table twice.csv --target a', "several columns have the same name: 'b'"),
    'dates unreadable': ('train table dates.csv --target y --split day', "'soon' in row"),
    'logarithms of words': ('train table flats.csv --target town --log yes', "log=yes: 'town' is a class"),
    'no such model': ('predict no.pkl new.csv', 'no such file: no.pkl'),
    'not a model': ('predict flats.csv new.csv', 'flats.csv'),
}


@pytest.mark.parametrize('what', wrong_tables)
def test_wrong_tables(what, flats, tmp_path, monkeypatch, capsys):
    "One line that names the trouble, status 2, nothing left behind."
    from course_lib.cli import main   # in this process: one start for all of them
    monkeypatch.chdir(tmp_path)
    for name, text in dict(new='no table', head='a,b\n', one='a,b\n1,2\n', two='a,b\n1,2\n3,4\n', twice='a,b,b\n1,2,3\n').items():
        (tmp_path/f'{name}.{"txt" if name == "new" else "csv"}').write_text(text)
    (tmp_path/'dates.csv').write_text('\n'.join(['day,y', *(f'2024-01-{i + 1:02},{i}.5' for i in range(28)), 'soon,1.5']))
    words, said = wrong_tables[what]
    before = sorted(tmp_path.rglob('*'))
    status, err = main(words.split()), capsys.readouterr().err
    assert status == 2 and one_line(err) and said in err, err
    assert sorted(tmp_path.rglob('*')) == before


def test_predict_table_wrong(flats, tmp_path, monkeypatch, capsys):
    "New rows without a column, and a place that is no table: refused by name, no file half-written."
    from course_lib.cli import main
    monkeypatch.chdir(tmp_path)
    assert main('train table flats.csv --target price --epochs 1 --no-boosting --out mine'.split()) == 0
    capsys.readouterr()
    (tmp_path/'less.csv').write_text('size,sold\n50,2025-01-05\n')
    for words, said in (('less.csv --out p.csv', "no column 'town'"), ('new.csv --out p.doc', 'should end in .csv or .parquet'),
                        ('new.csv --out p.csv --keep floor', "no column 'floor'"), ('new.csv less.csv', 'one table at a time')):
        status, err = main(['predict', 'mine/model.pkl', *words.split()]), capsys.readouterr().err
        assert status == 2 and one_line(err) and said in err, err
    assert not list(tmp_path.glob('*p.*'))


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
    out, err = started.communicate(timeout=900)
    assert (started.returncode, err) == (0, ''), err
    assert 'Interrupted' in out and (tmp_path/'out'/'model.pkl').exists() and 0 <= last_json(out)['accuracy'] <= 1


def test_commands_in_the_prose():
    "Whatever a page, the README or a message tells people to type, the command has: its words and its options."
    from argparse import _SubParsersAction
    from functools import cache

    from course_lib.cli import make_parser
    from nbs import cells, notebooks, root
    def options(parser): return {o for a in parser._actions for o in a.option_strings}
    def below(parser): return next((a.choices for a in parser._actions if isinstance(a, _SubParsersAction)), {})
    texts = {p: '\n'.join(c.source for c in cells(p) if c.kind == 'markdown') for p in notebooks()}
    texts |= {p: p.read_text(encoding='utf-8') for p in [root/'README.md', *root.glob('course_lib/**/*.py')]}
    parser_of, wrong, seen = cache(lambda *words: make_parser(list(words))), [], 0
    for path, text in texts.items():
        for call in re.findall(r'(?:^|`)course_lib ([a-z][^`\n|#]*)', text, re.M):
            words = call.split()
            if '…' in words: continue
            parser, known = parser_of(*words[:2]), set()
            while words and words[0] in below(parser):
                parser = below(parser)[words.pop(0)]
                known |= options(parser)
            odd = [o for o in re.findall(r'(?<![\w-])--[a-z-]+', ' '.join(words)) if o not in known]
            if below(parser) and words and re.fullmatch('[a-z_]+', words[0]): odd.append(words[0])
            seen += 1
            if odd: wrong.append(f'{path.name}: course_lib {call}: there is no {odd[0]}')
    assert seen > 60 and not wrong, '\n'.join(wrong)
