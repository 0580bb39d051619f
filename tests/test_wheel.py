"The wheel and the source archive: complete, small, and enough to run lesson 1 where no notebook is."
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest
from nbs import root

pytestmark = pytest.mark.slow
megabytes = 5


def run(*cmd, **kwargs):
    "Run a command; a failure shows what it said."
    done = subprocess.run([str(o) for o in cmd], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, f'{" ".join(map(str, cmd))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
    return done.stdout


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    "Folder with the wheel and the archive, built from a copy of what is under version control."
    here = tmp_path_factory.mktemp('source')
    names = run('git', 'ls-files', '-co', '--exclude-standard', cwd=root).split('\n')
    for name in filter(None, names):
        if not (root/name).is_file(): continue
        (here/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root/name, here/name)
    run(sys.executable, '-m', 'build', '-q', '--outdir', here/'dist', here)
    return here/'dist'


def test_contents(built):
    "All sub-packages are inside, notebooks and tests are not; the licence is."
    wheel, archive = next(built.glob('*.whl')), next(built.glob('*.tar.gz'))
    inside = zipfile.ZipFile(wheel).namelist()
    ours = {p.relative_to(root).as_posix() for p in (root/'course_lib').rglob('*.py')}
    assert not (missing := sorted(ours - set(inside))), f'not in the wheel: {missing}; folders need an __init__.py: run `make export`'
    assert any(o.endswith('LICENSE') for o in inside)
    weights = [o for o in zipfile.ZipFile(wheel).infolist() if o.filename.endswith('.safetensors')]
    assert [o.filename for o in weights] == ['course_lib/vision/course_small.safetensors'] and weights[0].file_size <= 3e6
    for names in (inside, tarfile.open(archive).getnames()):
        assert not [o for o in names if o.endswith('.ipynb') or '/tests/' in o or o.startswith('tests/')]
    for path in (wheel, archive): assert path.stat().st_size < megabytes * 1e6, f'{path.name}: {path.stat().st_size / 1e6:.1f} MB'


@pytest.fixture(scope='module')
def fresh(built, tmp_path_factory):
    "An environment with nothing but the wheel and what it asks for; gives the folder of its commands."
    here = tmp_path_factory.mktemp('fresh')
    venv.create(here, with_pip=True)
    commands = here/('Scripts' if os.name == 'nt' else 'bin')
    run(commands/'python', '-m', 'pip', 'install', '-q', '--disable-pip-version-check', '-c', root/'constraints.txt', next(built.glob('*.whl')))
    return commands


def test_every_module_imports(fresh, tmp_path):
    code = ('import importlib, json, pkgutil, course_lib\n'
            'names = [m.name for m in pkgutil.walk_packages(course_lib.__path__, "course_lib.")]\n'
            'for n in names: importlib.import_module(n)\n'
            'print(json.dumps([course_lib.__file__] + names))')
    where, *names = json.loads(run(fresh/'python', '-W', 'error::SyntaxWarning', '-c', code, cwd=tmp_path).split('\n')[-2])
    assert str(root/'course_lib') not in where
    ours = {'.'.join(p.relative_to(root).with_suffix('').parts) for p in (root/'course_lib').rglob('*.py') if p.name != '__init__.py'}
    assert ours <= set(names)


def test_readme_block(fresh, tmp_path):
    "The three lines of the README, from the wheel alone: an empty folder, an empty home, no variable set."
    from test_where_the_reader_stands import bare, readme_block
    said = run(fresh/'python', '-c', readme_block(), cwd=tmp_path, env=bare(tmp_path))
    assert float(said.strip().split('\n')[-1].split()[3]) > .85, said


def test_lesson_runs(fresh, tmp_path):
    "Lesson 1, from an empty home and an empty folder, on generated pictures."
    env = os.environ | {'HOME': str(tmp_path/'home'), 'COURSE_LIB_DATA': 'sample', 'MPLBACKEND': 'agg'}
    (tmp_path/'home').mkdir()
    (tmp_path/'here').mkdir()
    said = run(fresh/'course_lib', 'lesson', '1', cwd=tmp_path/'here', env=env)
    assert 'accuracy' in said and '.html' in said, said
