"""What a competition gets, for every kind of target, through the commands that people type: a folder with `test` and a sample
submission goes in, a file that fits the sample comes out; where it cannot, one line says why, before or instead of writing."""
import contextlib
import gzip
import io
import os
import shutil

import pytest

pd = pytest.importorskip('pandas')
from test_cli import draw, last_json, one_line

from course_lib.cli import main

short = '--head 1 --epochs 1 --size 32 --bs 8 --tta 1 --json'.split()


def run(*words, cwd):
    "(standard output, error stream, exit status) of one call of the command, in this process: the import is paid once."
    out, err, here = io.StringIO(), io.StringIO(), os.getcwd()
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err): status = main([str(w) for w in words])
    except SystemExit as e: status = e.code
    finally: os.chdir(here)
    return out.getvalue(), err.getvalue(), status


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "Generated tiles and dogs, in the layout of the competitions."
    from course_lib.data.samples import make_sample
    home = tmp_path_factory.mktemp('made')
    tiles = make_sample('planet', home/'planet', n=40, size=48)
    test = tiles/'test-jpg'
    test.mkdir()
    for i in range(30, 36): (tiles/'train'/f'train_{i}.jpg').rename(test/f'test_{i}.jpg')
    table = pd.read_csv(tiles/'labels.csv')
    table[~table.image_name.isin([f'train_{i}' for i in range(30, 36)])].to_csv(tiles/'labels.csv', index=False)
    asked = pd.DataFrame(dict(image_name=[f'test_{i}' for i in (33, 30, 35, 31, 34, 32)], tags='clear primary'))
    asked.to_csv(tiles/'sample_submission_v2.csv', index=False)
    return dict(planet=tiles, dogbreeds=make_sample('dog_breeds', home/'dog_breeds', n_train=48, n_test=6, size=64))


@pytest.fixture
def folder(made, tmp_path):
    "A copy of one of them, to be spoilt."
    return lambda name: shutil.copytree(made[name], tmp_path/name)


def sent(app, path, tmp_path, *more, file='sent.csv.gz'):
    out, err, status = run('train', app, '--data', path, '--submit', file, *short, *more, cwd=tmp_path)
    assert (status, err) == (0, ''), err
    assert last_json(out)['files']['submission'] == file and not list(tmp_path.glob('.sent*'))
    return pd.read_csv(tmp_path/file), out


def test_tags(folder, tmp_path):
    path = folder('planet')
    got, _ = sent('planet', path, tmp_path)
    asked = pd.read_csv(path/'sample_submission_v2.csv')
    assert list(got) == ['image_name', 'tags'] and got.image_name.tolist() == asked.image_name.tolist()
    known = {t for cell in pd.read_csv(path/'labels.csv').tags for t in cell.split()}
    assert all(set(cell.split()) <= known for cell in got.tags) and got.tags.str.len().min() > 0
    assert gzip.decompress((tmp_path/'sent.csv.gz').read_bytes()).startswith(b'image_name,tags\n')


def test_probabilities_of_many_classes(folder, tmp_path):
    path = folder('dogbreeds')
    got, _ = sent('dogbreeds', path, tmp_path, file='sent.csv')
    asked = pd.read_csv(path/'sample_submission.csv')
    assert list(got) == list(asked) and got.id.tolist() == asked.id.tolist()
    assert got.iloc[:, 1:].sum(axis=1).tolist() == pytest.approx([1.] * 6, abs=1e-3)


forms = {'a column for each class': dict(id=['2', '0', '1'], sky=.5, grass=.5),
         'one number, as dogs against cats asks for': dict(id=['2', '0', '1'], label=.5),
         'the name of the class': dict(id=['2', '0', '1'], label='grass'),
         'ids with their ending': dict(image=['2.png', '0.png', '1.png'], sky=.5, grass=.5)}


@pytest.mark.parametrize('form', forms)
def test_two_classes(form, tmp_path):
    "The sample decides about the form."
    path, asked = draw(tmp_path/'photos', 'grass', 'sky'), pd.DataFrame(forms[form])
    for part in ('train', 'valid'):
        for kind in ('grass', 'sky'): shutil.copytree(path/kind, tmp_path/'pets'/part/kind)
    draw(tmp_path/'pets', 'sand', n=3)
    (tmp_path/'pets'/'sand').rename(tmp_path/'pets'/'test')
    asked.to_csv(tmp_path/'pets'/'sample_submission.csv', index=False)
    got, out = sent('dogscats', tmp_path/'pets', tmp_path)
    assert list(got) == list(asked) and got.iloc[:, 0].astype(str).tolist() == asked.iloc[:, 0].tolist()
    if form.startswith('one number'): assert 'probability of sky' in out and got.label.between(0, 1).all()
    if form.startswith('the name'): assert got.label.isin(['grass', 'sky']).all()


def test_numbers_and_labels_of_a_table():
    "Regression and labels, from arrays: what the recipes for tables send."
    import torch

    from course_lib.submission import check_submission, submission
    sales = submission(torch.tensor([[8.2], [8.5]]).exp(), [41, 42], kind='regression', id_name='Id', target='Sales')
    assert check_submission(sales, pd.DataFrame(dict(Id=[41, 42], Sales=[0, 0]))) is sales
    named = submission(torch.tensor([[.1, .9]]), [7], ['low', 'high'], kind='labels', target='salary')
    assert named.to_dict('list') == dict(id=[7], salary=['high'])


def spoilt_tables(path):
    "What people's tables are like, each with the words of the message."
    table = pd.read_csv(path/'labels.csv')
    answer = table.columns[1]
    lost = pd.DataFrame({'id': [f'lost_{i:02}' for i in range(12)], answer: table[answer][0]}).set_axis(list(table), axis=1)
    return {'no column': (table.rename(columns={answer: 'labels'}), [f'no column {answer!r}']),
            'files that are missing': (pd.concat([table, lost]), ['12 of', 'lost_09', '… and 2 more', '--drop']),
            'ids given twice': (pd.concat([table, table[:2]]), ['2 of', 'was there before', str(table.iloc[0, 0]), '--drop']),
            'no answer': (table.assign(**{answer: table[answer].where(table.index > 1)}), ['2 of', '--drop'])}


@pytest.mark.parametrize('app', ['planet', 'dogbreeds'])
@pytest.mark.parametrize('case', ['no column', 'files that are missing', 'ids given twice', 'no answer'])
def test_spoilt_tables(app, case, folder, tmp_path):
    "One line that names what is wrong; nothing is written."
    path = folder(app)
    table, words = spoilt_tables(path)[case]
    table.to_csv(path/'labels.csv', index=False)
    before = sorted(tmp_path.rglob('*'))
    _, err, status = run('train', app, '--data', path, '--submit', 'sent.csv', '--out', 'out', cwd=tmp_path)
    assert status == 2 and one_line(err), err
    for word in words: assert word in err, f'{word!r} is not in: {err}'
    assert sorted(tmp_path.rglob('*')) == before


def test_the_way_out_works(folder, tmp_path):
    "--drop, as the message says."
    path = folder('planet')
    pd.concat([t for t, _ in spoilt_tables(path).values() if 'tags' in t]).to_csv(path/'labels.csv', index=False)
    got, out = sent('planet', path, tmp_path, '--drop')
    assert len(got) == 6 and 'left out' in out


wrong = {'an id that no picture has': (lambda df: df.assign(image_name=[*df.image_name[:-1], 'test_99']), '1 ids have no row: test_99'),
         'another title': (lambda df: df.assign(place=0), 'columns that are missing: place')}


@pytest.mark.parametrize('case', wrong)
def test_a_sample_that_does_not_fit(case, folder, tmp_path):
    path, (change, words) = folder('planet'), wrong[case]
    change(pd.read_csv(path/'sample_submission_v2.csv')).to_csv(path/'sample_submission_v2.csv', index=False)
    _, err, status = run('train', 'planet', '--data', path, '--submit', 'sent.csv', *short, cwd=tmp_path)
    assert status == 2 and words in err and not (tmp_path/'sent.csv').exists(), err


@pytest.mark.parametrize('words', ['--submit tags.xlsx', '--epochs -1', '--tta 0', '--size 0', '--arch tile_nett', '--data nowhere'])
def test_wrong_calls(words, folder, tmp_path):
    path = folder('planet')
    _, err, status = run('train', 'planet', '--data', path, *words.split(), cwd=tmp_path)
    assert status == 2 and one_line(err), err


def test_a_page_model_and_predictions(folder, tmp_path):
    "Tags: step by step, model and page, the same numbers from the same seed, and the model names tags."
    path = folder('planet')
    facts = []
    for out in ('a', 'b'):
        said, err, status = run('train', 'planet', '--data', path, '--out', out, *short, cwd=tmp_path)
        assert (status, err) == (0, ''), err
        facts.append(last_json(said))
    assert {k: facts[0][k] for k in facts[0]['metrics']} == {k: facts[1][k] for k in facts[1]['metrics']}
    assert facts[0]['settings']['arch'] == 'efficientnet_lite0' and facts[0]['steps'][0]['step'].startswith('the head alone')
    assert 'Tag by tag' in (tmp_path/'a'/'report.html').read_text(encoding='utf-8')
    said, err, status = run('predict', 'a/model.pkl', path/'test-jpg'/'test_30.jpg', '--json', cwd=tmp_path)
    assert (status, err) == (0, '') and set(last_json(said)['predictions'][0]['probabilities']) >= {'clear', 'forest'}
