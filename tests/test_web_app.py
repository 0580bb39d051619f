"""The page of a model as its users meet it: a browser uploads a picture, ten people ask at once, and what cannot be answered is said.

Gradio asks for an older Pillow than the tested set has, so it lives in an environment of its own (.venv-app), which sees this one's packages behind its own.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow
root = Path(__file__).parent.parent
command = 'import sys; from course_lib.cli import main; sys.exit(main())'
browser = shutil.which('chromium') or shutil.which('google-chrome')


@pytest.fixture(scope='module')
def python():
    "A Python with Gradio; skipped where it cannot be had."
    env = root/'.venv-app'
    exe = env/('Scripts/python.exe' if os.name == 'nt' else 'bin/python')
    if not (env/'.done').exists():
        subprocess.run([sys.executable, '-m', 'venv', env], check=True)
        done = subprocess.run([exe, '-m', 'pip', '--disable-pip-version-check', 'install', '-q', 'gradio>=5'], capture_output=True, text=True)
        if done.returncode: pytest.skip(f'Gradio cannot be installed here: {done.stderr[-300:]}')
        own = subprocess.run([exe, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))'], capture_output=True, text=True, check=True)
        Path(own.stdout.strip(), 'zz_behind.pth').write_text(f'{sysconfig.get_path("purelib")}\n{root}\n')
        (env/'.done').touch()
    return exe


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class served:
    "`course_lib app` in a process of its own, until the block ends."
    def __init__(self, python, model, *options):
        self.port, self.command = free_port(), [python, '-W', 'ignore', '-c', command, 'app', model, *options]
        self.temporary = Path(model).with_suffix('.tmp')
    def sent(self): return [p for p in self.temporary.glob('course_lib_app_*/**/*') if p.is_file()]
    def __enter__(self):
        self.temporary.mkdir(exist_ok=True)
        env = {**{k: v for k, v in os.environ.items() if k != 'GRADIO_TEMP_DIR'}, 'PYTHONPATH': str(root), 'OMP_NUM_THREADS': '1', 'TMPDIR': str(self.temporary)}
        self.log = open(Path(self.command[6]).with_suffix('.log'), 'w+')
        self.process = subprocess.Popen([*map(str, self.command), '--port', str(self.port)], stdout=self.log, stderr=subprocess.STDOUT, env=env)
        self.url = f'http://127.0.0.1:{self.port}'
        for _ in range(240):
            try:
                urllib.request.urlopen(self.url, timeout=5).read(100)
                return self
            except OSError:
                assert self.process.poll() is None, Path(self.log.name).read_text()[-3000:]
                time.sleep(.5)
        raise TimeoutError(Path(self.log.name).read_text()[-3000:])
    def __exit__(self, *e):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    "One learner of pictures and one of rows, stored; and pictures to ask about."
    from course_lib.data.samples import make_sample
    from course_lib.tabular.all import Categorify, FillMissing, Normalize, TabularDataLoaders, tabular_learner
    from course_lib.vision.all import ImageDataLoaders, Resize, get_image_files, parent_label, vision_learner
    folder = tmp_path_factory.mktemp('models')
    pets = make_sample('dogscats')
    files = get_image_files(pets/'valid')
    dls = ImageDataLoaders.from_path_func(pets, files[::4], parent_label, item_tfms=Resize(64), bs=16)
    learn = vision_learner(dls, 'course_small')
    table = TabularDataLoaders.from_csv(make_sample('adult')/'adult.csv', y_names='salary', cat_names=['workclass', 'sex'],
                                        cont_names=['age', 'education-num'], procs=[FillMissing, Categorify, Normalize])
    rows = tabular_learner(table, layers=[8])
    for name, o in (('pictures', learn), ('rows', rows)):
        with o.no_bar(), o.no_logging(): o.fit(1)
        o.path = folder
        o.export(f'{name}.pkl')
    with learn.no_bar(): probs = learn.get_preds(dl=learn.dls.test_dl(files[:10]))[0]
    return folder, [Path(f) for f in files[:10]], list(dls.vocab), probs


@pytest.fixture(scope='module')
def page(python, models):
    "The page of the pictures, for all tests."
    folder, files, *_ = models
    with served(python, folder/'pictures.pkl', '--examples', files[0].parent) as page: yield page


class Tab:
    "A page in a headless browser, by its DevTools."
    def __init__(self, url, folder):
        self.port, self.n = free_port(), 0
        self.process = subprocess.Popen([browser, '--headless=new', '--no-sandbox', '--disable-gpu', f'--remote-debugging-port={self.port}',
                                         '--remote-allow-origins=*', f'--user-data-dir={folder}', '--window-size=1100,900', url],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        websocket = pytest.importorskip('websocket')
        for _ in range(100):
            try:
                pages = json.loads(urllib.request.urlopen(f'http://127.0.0.1:{self.port}/json', timeout=5).read())
                page = next(p for p in pages if p['type'] == 'page')
                break
            except (OSError, StopIteration): time.sleep(.2)
        self.ws = websocket.create_connection(page['webSocketDebuggerUrl'], timeout=60)
    def __enter__(self): return self
    def __exit__(self, *e):
        self.ws.close()
        self.process.terminate()
        self.process.wait(20)
    def send(self, method, **params):
        self.n += 1
        self.ws.send(json.dumps(dict(id=self.n, method=method, params=params)))
        while (answer := json.loads(self.ws.recv())).get('id') != self.n: pass
        assert 'error' not in answer, answer
        return answer['result']
    def run(self, js): return self.send('Runtime.evaluate', expression=js, returnByValue=True)['result'].get('value')
    def wait(self, js, seconds=60):
        for _ in range(int(seconds * 5)):
            if found := self.run(js): return found
            time.sleep(.2)
        raise TimeoutError(f'{js}; the page says: {self.run("document.body.innerText")[:1500]}')
    def upload(self, file):
        self.wait('!!document.querySelector("input[type=file]")')
        doc = self.send('DOM.getDocument')['root']['nodeId']
        node = self.send('DOM.querySelector', nodeId=doc, selector='input[type=file]')['nodeId']
        self.send('DOM.setFileInputFiles', nodeId=node, files=[str(file)])
        self.wait('!!document.querySelector("img[src*=\'/file=\'], img[src^=\'blob:\'], img[src*=\'gradio_api\']")')
    def ask(self): self.run('[...document.querySelectorAll("button")].find(b => b.innerText.trim() == "Ask").click()')
    def picture(self, file):
        import base64
        Path(file).write_bytes(base64.b64decode(self.send('Page.captureScreenshot', format='png')['data']))


answer_text = 'document.querySelector("#answer textarea, #answer input")?.value'


@pytest.mark.skipif(browser is None, reason='needs Chromium')
def test_a_picture_is_uploaded(page, models, tmp_path):
    folder, files, vocab, probs = models
    with Tab(page.url, tmp_path/'profile') as tab:
        tab.upload(files[3])
        tab.ask()
        assert tab.wait(answer_text) == vocab[int(probs[3].argmax())]
        tab.wait('document.body.innerText.includes("%")')
        outside = tab.run('performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith(location.origin) && !n.startsWith("blob:") && !n.startsWith("data:"))')
        assert not outside, f'the page fetches from elsewhere: {outside}'
        if os.environ.get('COURSE_LIB_SCREENSHOT'): tab.picture(os.environ['COURSE_LIB_SCREENSHOT'])


def client(python, url, code, timeout=240):
    "Run code with a Gradio client `c` in the environment that has one; what it prints."
    text = f'from gradio_client import Client, handle_file\nimport json, sys\nc = Client({url!r}, verbose=False)\n{code}'
    return subprocess.run([python, '-W', 'ignore', '-c', text], capture_output=True, text=True, timeout=timeout)


def test_ten_at_once(python, page, models):
    "Ten people ask about ten pictures at the same time: each gets the answer to his own."
    folder, files, vocab, probs = models
    code = ('from concurrent.futures import ThreadPoolExecutor\n'
            f'files = {[str(f) for f in files]!r}\n'
            f'clients = [Client({page.url!r}, verbose=False) for _ in files]\n'
            'with ThreadPoolExecutor(10) as pool: found = list(pool.map(lambda o: o[0].predict(handle_file(o[1]), api_name="/ask"), zip(clients, files)))\n'
            'print(json.dumps([f[1] for f in found]))')
    ran = client(python, page.url, code)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.strip().split('\n')[-1])
    for shares, p in zip(found, probs):
        got = {o['label']: o['confidence'] for o in shares['confidences']}
        for name, wanted in zip(vocab, p.tolist()): assert abs(got[name] - wanted) < .02
    assert len({p.name for p in page.sent()} & {f.name for f in files}) == len(files), 'what visitors send lies in a folder of this page'


def test_what_cannot_be_answered_is_said(python, page, models, tmp_path):
    folder, files, *_ = models
    Image.new('L', (20_000, 2)).save(tmp_path/'wide.png')
    (tmp_path/'note.png').write_text('hello')
    (tmp_path/'large.png').write_bytes(b'0' * 50_000_000)
    bad = [str(tmp_path/f'{o}.png') for o in ('wide', 'note', 'large')]
    code = (f'said = []\nfor f in {bad!r}:\n    try: c.predict(handle_file(f), api_name="/ask"); said.append(None)\n'
            f'    except Exception as e: said.append(str(e))\nsaid.append(c.predict(handle_file({str(files[0])!r}), api_name="/ask")[0])\n'
            'print(json.dumps(said))')
    ran = client(python, page.url, code)
    assert ran.returncode == 0, ran.stderr[-2000:]
    wide, note, large, after = json.loads(ran.stdout.strip().split('\n')[-1])
    assert '20000' in wide and 'not a picture' in note and large is not None
    assert after in models[2]   # and it goes on
    again = subprocess.run([python, '-W', 'ignore', '-c', command, 'app', folder/'rows.pkl', '--port', str(page.port)],
                           capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=str(root)), timeout=120)
    assert again.returncode == 2 and f'port {page.port}' in again.stderr and '--port' in again.stderr


def test_a_row(python, models):
    folder, *_ = models
    with served(python, folder/'rows.pkl') as page:
        ran = client(python, page.url, 'print(json.dumps(c.predict("Private", "Male", 40, 10, api_name="/ask")[:2]))')
        assert any(page.temporary.glob('course_lib_app_*'))
    assert not any(page.temporary.glob('course_lib_app_*')), 'and goes when the page is ended'
    assert ran.returncode == 0, ran.stderr[-2000:]
    said, shares = json.loads(ran.stdout.strip().split('\n')[-1])
    assert said == max(shares['confidences'], key=lambda o: o['confidence'])['label']
