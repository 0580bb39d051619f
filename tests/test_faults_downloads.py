"""Servers that fail, archives that lie, programs that are killed: what arrives is whole and right, or one clear error.

The web server is ours: each of its addresses misbehaves in a way of its own. Counts are printed (`pytest -s`).
`COURSE_LIB_FAULTS` multiplies the random parts marked slow."""
import bz2
import gzip
import io
import json
import lzma
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from course_lib.data.external import (DataSource, URLs, download_url, file_extract, new_folder, one_at_a_time, sweep,
                                      untar_data, write_manifest)

many = int(os.environ.get('COURSE_LIB_FAULTS', 1))
clear = (ValueError, RuntimeError, FileNotFoundError)   # the errors that say what to do
noise = random.Random(0).randbytes(300_000)
table = ('name,age\n' + ''.join(f'Ann{i},{i}\n' for i in range(30_000))).encode()


def tgz(content=noise, kind='gz', name='photo.jpg'):
    f = io.BytesIO()
    with tarfile.open(fileobj=f, mode=f'w:{kind}') as t:
        info = tarfile.TarInfo(name); info.size = len(content)
        t.addfile(info, io.BytesIO(content))
    return f.getvalue()


good, other = tgz(), tgz(noise[::-1])


# ------------------------------------------------------------------------------------------------- a server that fails
class Server:
    "Serves `/KIND/NAME`: what happens is up to the function `faults[KIND]`, which is told of the connection and the request."
    def __init__(self):
        self.socket, self.calls, self.open = socket.create_server(('127.0.0.1', 0)), {}, True
        self.web = f'http://127.0.0.1:{self.socket.getsockname()[1]}'
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.open:
            try: c, _ = self.socket.accept()
            except OSError: return
            threading.Thread(target=self.answer, args=[c], daemon=True).start()

    def answer(self, c):
        try:
            with c:
                asked = b''
                while b'\r\n\r\n' not in asked: asked += c.recv(4096) or b'\r\n\r\n'
                lines = asked.decode('latin1').split('\r\n')
                path = lines[0].split(' ')[1]
                headers = dict(line.lower().split(': ', 1) for line in lines[1:] if ': ' in line)
                kind = path.split('/')[1]
                n = self.calls[path] = self.calls.get(path, 0) + 1
                Request(self, c, path, headers, n).run(faults[kind])
        except OSError: pass


class Request:
    def __init__(self, server, c, path, headers, n): self.server, self.c, self.path, self.headers, self.n = server, c, path, headers, n
    def run(self, f): f(self)
    def raw(self, data): self.c.sendall(data)
    def head(self, code=200, *lines): self.raw(f'HTTP/1.1 {code} x\r\n{"".join(line + chr(13) + chr(10) for line in lines)}\r\n'.encode('latin1'))
    def file(self, data=good, *lines, code=200, send=None):
        self.head(code, f'Content-Length: {len(data)}', *lines)
        self.raw(data if send is None else data[:send])
    @property
    def start(self): return int(re.findall(r'\d+', self.headers['range'])[0]) if 'range' in self.headers else 0
    def part(self, data, *lines, start=None, send=None):
        "A right answer to a request for the rest."
        start = self.start if start is None else start
        if 'range' not in self.headers: return self.file(data, *lines, send=send)
        self.file(data[start:], f'Content-Range: bytes {start}-{len(data) - 1}/{len(data)}', *lines, code=206, send=send)
    def forever(self, data=b'x', pause=0.05):
        while self.server.open: self.raw(data); time.sleep(pause)


def steady(r):
    r.head(200, f'Content-Length: {len(good)}')
    for i in range(0, len(good), 50_000): r.raw(good[i:i + 50_000]); time.sleep(0.1)

def chunked(r, upto=None, size='%x'):
    r.head(200, 'Transfer-Encoding: chunked')
    for i in range(0, len(good), 50_000):
        if upto is not None and i >= upto: return
        piece = good[i:i + 50_000]
        r.raw((size % len(piece)).encode() + b'\r\n' + piece + b'\r\n')
    r.raw(b'0\r\n\r\n')

def changed(r, honest):
    "Another file after the first try; `honest`: If-Range is obeyed."
    if r.n == 1: return r.file(good, 'ETag: "old"', send=100_000)
    if honest and r.headers.get('if-range') != '"new"': return r.file(other, 'ETag: "new"')
    r.part(other, 'ETag: "new"')

def drip_head(r):
    r.raw(b'HTTP/1.1 200 OK\r\nX-Slow: ')
    r.forever()

def reset(r):
    r.c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))

def continues(r):
    while r.server.open: r.raw(b'HTTP/1.1 100 Continue\r\n\r\n'); time.sleep(0.01)

def then(code, *lines):
    "Once `code`, then the file."
    return lambda r: r.head(code, 'Content-Length: 0', *lines) if r.n == 1 else r.file()

def to(place, code=302, body=b''):
    def f(r):
        if r.path.endswith('/there.tgz'): return r.file()
        r.head(code, f'Location: {place}', *([f'Content-Length: {len(body)}'] if body != 'endless' else []))
        if body == 'endless': r.forever(b'x' * 1000, 0)
        else: r.raw(body)
    return f

def late_reader(r): # the first 206 is not what was asked for
    if r.n == 1: return r.file(good, 'ETag: "a"', send=100_000)
    if r.n == 2: return r.part(good, 'ETag: "a"', start=50_000)
    r.part(good, 'ETag: "a"')

page = b'<!DOCTYPE html><html><body>Please log in</body></html>'
csv = 'table.csv'
# kind of fault -> (what the server does, is the file to be had all the same?, name asked for)
kinds = {
    'all is well': (lambda r: r.file(), 1),
    'slow but steady': (steady, 1),
    'no length, closed at the end': (lambda r: (r.head(200), r.raw(good)), 1),
    'chunked': (chunked, 1),
    'chunked, cut': (lambda r: chunked(r, 100_000), 0),
    'chunked, sizes that are none': (lambda r: chunked(r, size='zz%x'), 0),
    'chunked, sizes that lie': (lambda r: chunked(r, size='1%x'), 0),
    'cut at the same place, always': (lambda r: r.file(send=100_000), 0),
    'cut after nothing': (lambda r: r.file(send=0), 0),
    'cut once, can go on': (lambda r: r.part(good, 'ETag: "a"', send=100_000 if r.n == 1 else None), 1),
    'cut nine times, can go on': (lambda r: r.part(good, 'ETag: "a"', send=70_000 if r.n < 10 else None), 1),
    'cut once, goes on by date': (lambda r: r.part(good, 'Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT', send=100_000 if r.n == 1 else None), 1),
    'cut once, no mark': (lambda r: r.part(good, send=100_000 if r.n == 1 else None), 1),
    'cut once, weak mark': (lambda r: r.part(good, 'ETag: W/"a"', send=100_000 if r.n == 1 else None), 1),
    'cut once, deaf to ranges': (lambda r: r.file(good, 'ETag: "a"', send=100_000 if r.n == 1 else None), 1),
    'no length, cut without a word': (lambda r: (r.head(200), r.raw(good[:100_000])), 0),
    'changes between tries, honest': (lambda r: changed(r, True), 2),
    'changes between tries, deaf to If-Range': (lambda r: changed(r, False), 2),
    'changes at every try': (lambda r: r.part(good, f'ETag: "{r.n}"', send=100_000), 0),
    'a rest that begins elsewhere': (late_reader, 1),
    'a rest that does not say where it begins': (lambda r: r.file(good, 'ETag: "a"', send=100_000) if r.n == 1 else r.file(good[r.start:] if r.start else good, code=206 if r.start else 200), 1),
    'a part, though all was asked for': (lambda r: r.file(good[1000:], f'Content-Range: bytes 1000-{len(good) - 1}/{len(good)}', code=206), 0),
    'a rest of odd numbers': (lambda r: r.file(good, 'ETag: "a"', 'Content-Range: bytes ?-?/*', code=206), 0),
    '416 to the rest': (lambda r: r.head(416, 'Content-Length: 0') if r.start else r.file(good, 'ETag: "a"', send=100_000 if r.n == 1 else None), 1),
    '416 always': (lambda r: r.head(416, 'Content-Length: 0'), 0),
    'drips its body': (lambda r: (r.head(200, 'Content-Length: 999999'), r.forever()), 0),
    'drips its body, can go on': (lambda r: (r.head(206 if r.start else 200, 'Content-Length: 999999', 'ETag: "a"'), r.forever()), 0),
    'drips its head': (drip_head, 0),
    'drips chunks': (lambda r: (r.head(200, 'Transfer-Encoding: chunked'), r.forever(b'1\r\nx\r\n')), 0),
    'sends and then sleeps': (lambda r: (r.file(send=100_000), r.forever(b'', 0.2)), 0),
    'says nothing': (lambda r: r.forever(b'', 0.2), 0),
    'says nothing after the head': (lambda r: (r.head(200, 'Content-Length: 99'), r.forever(b'', 0.2)), 0),
    'hangs up at once': (lambda r: None, 0),
    'hangs up the hard way': (reset, 0),
    'speaks no HTTP': (lambda r: r.raw(b'SSH-2.0-OpenSSH\r\n\r\n'), 0),
    'sends the bare file': (lambda r: r.raw(good), 0),
    'a header of 200 kB': (lambda r: r.file(good, 'X: ' + 'a' * 200_000), 0),
    'two thousand headers': (lambda r: r.file(good, *[f'X{i}: a' for i in range(2000)]), 0),
    'headers without end': (lambda r: (r.raw(b'HTTP/1.1 200 OK\r\n'), r.forever(b'X: a\r\n' * 10, 0.01)), 0),
    'a header without a colon': (lambda r: r.file(good, 'just words'), 1),
    'headers of odd letters': (lambda r: r.file(good, 'X-Name: \xff\xfe\x01', 'ETag: "\xff"'), 1),
    'no reason in the status line': (lambda r: r.raw(f'HTTP/1.1 200\r\nContent-Length: {len(good)}\r\n\r\n'.encode() + good), 1),
    'a length that is no number': (lambda r: (r.head(200, 'Content-Length: banana'), r.raw(good)), 1),
    'a negative length': (lambda r: (r.head(200, 'Content-Length: -5'), r.raw(good)), None),
    'two lengths': (lambda r: r.file(good, 'Content-Length: 7'), 0),
    'a length that is too large': (lambda r: (r.head(200, f'Content-Length: {len(good) + 9}'), r.raw(good)), 0),
    'a length that is too small': (lambda r: (r.head(200, f'Content-Length: {len(good) - 9}'), r.raw(good)), 0),
    'a length of 10^30': (lambda r: (r.head(200, 'Content-Length: 1' + '0' * 30), r.raw(good)), None),
    'a length of 500 TB': (lambda r: (r.head(200, 'Content-Length: 500000000000000'), r.raw(good)), 0),
    'more than its length': (lambda r: (r.head(200, f'Content-Length: {len(good)}'), r.raw(good + b'more')), 1),
    'an empty file': (lambda r: r.file(b''), 0),
    'an empty table': (lambda r: r.file(b''), 0, csv),
    'status 204': (lambda r: r.head(204), 0),
    'status 304': (lambda r: r.head(304), 0),
    'status 101': (lambda r: r.head(101), 0),
    'status 299': (lambda r: r.file(page, code=299), 0),
    'status 999': (lambda r: r.file(page, code=999), 0),
    'status 600 and a half': (lambda r: r.raw(b'HTTP/1.1 6.5 x\r\n\r\n'), 0),
    'continues without end': (continues, 0),
    '302 without a place': (lambda r: r.file(page, code=302), 0),
    'sent in a circle': (to('/sent in a circle/x.tgz'.replace(' ', '%20')), 0),
    'sent to a file of ours': (to('file:' '///etc/passwd'), 0),
    'sent to ftp': (to('ftp://127.0.0.1/x.tgz'), 0),
    'sent to data': (to('data:text/plain,hello'), 0),
    'sent to no address': (to('http://[::1/x.tgz'), 0),
    'sent to nobody': (to('http://'), 0),
    'sent to odd letters': (to('http://\xff\xfe/\x01'), 0),
    'sent next door': (to('there.tgz'), 1),
    'sent next door for good': (to('there.tgz', 308, b'moved'), 1),
    'sent next door with an endless page': (to('there.tgz', 301, 'endless'), 1),
    'status 400': (lambda r: r.file(page, code=400), 0),
    'status 401': (lambda r: r.file(page, 'WWW-Authenticate: Basic realm="x"', code=401), 0),
    'status 403': (lambda r: r.file(page, code=403), 0),
    'status 404': (lambda r: r.file(page, code=404), 0),
    'status 407': (lambda r: r.file(page, code=407), 0),
    'status 410': (lambda r: r.file(page, code=410), 0),
    'status 451': (lambda r: r.file(page, code=451), 0),
    '408 once': (then(408), 1),
    '425 once': (then(425), 1),
    '429 once': (then(429), 1),
    '429 once, come back in a second': (then(429, 'Retry-After: 1'), 1),
    '429 once, come back yesterday': (then(429, 'Retry-After: Mon, 02 Jan 2006 15:04:05 GMT'), 1),
    '429 once, come back when it suits you': (then(429, 'Retry-After: when it suits you'), 1),
    '429, come back tomorrow': (then(429, 'Retry-After: 86400'), 0),
    '429 always': (lambda r: r.file(page, code=429), 0),
    '503 twice': (lambda r: r.file(page, code=503) if r.n < 3 else r.file(), 1),
    '500 always': (lambda r: r.file(page, code=500), 0),
    '500 without end': (lambda r: (r.head(500), r.forever(b'x' * 1000, 0)), 0),
    'a page as archive': (lambda r: r.file(page, 'Content-Type: text/html'), 0),
    'a page as zip': (lambda r: r.file(page), 0, 'set.zip'),
    'a page as table': (lambda r: r.file(page), 0, csv),
    'a page that is no page, as table': (lambda r: r.file(b'Log in!', 'Content-Type: text/html; charset=utf-8'), 0, csv),
    'a page with blanks before it': (lambda r: r.file(b'\xef\xbb\xbf\r\n  <HTML>'), 0, csv),
    'an error of S3 as table': (lambda r: r.file(b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'), 0, csv),
    'a message in JSON as table': (lambda r: r.file(b'{"error": "quota"}', 'Content-Type: application/json'), 0, csv),
    'an archive as table': (lambda r: r.file(good), 0, csv),
    'zeros as table': (lambda r: r.file(bytes(5000)), 0, csv),
    'a table': (lambda r: r.file(table), 1, csv),
    'a table, cut': (lambda r: r.file(table, send=100_000), 0, csv),
    'a table, packed for the journey': (lambda r: r.file(gzip.compress(table), 'Content-Encoding: gzip'), 1, csv),
    'a table, said to be packed': (lambda r: r.file(table, 'Content-Encoding: gzip'), 1, csv),
    'a table, packed and cut': (lambda r: r.file(gzip.compress(table)[:-9], 'Content-Encoding: gzip'), 0, csv),
    'a table, packed with brotli': (lambda r: r.file(b'\x1b\x2f\x00', 'Content-Encoding: br'), 0, csv),
    'a table, packed to a bomb': (lambda r: r.file(gzip.compress(bytes(150_000_000), 1), 'Content-Encoding: gzip'), 0, csv),
    'an archive, said to be packed': (lambda r: r.file(good, 'Content-Encoding: x-gzip'), 1),
    'without end': (lambda r: (r.head(200), r.forever(bytes(1000), 0.001)), 0),
}
faults = {re.sub(r'\W', '_', k): v[0] for k, v in kinds.items()}
faults['sent in a circle'.replace(' ', '%20')] = faults['sent_in_a_circle']


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name, value in dict(COURSE_LIB_HOME=str(tmp_path/'cache'), COURSE_LIB_DATA='real', COURSE_LIB_MIRROR='').items():
        monkeypatch.setenv(name, value)
    return tmp_path/'cache'


@pytest.fixture
def server():
    s = Server()
    yield s
    s.open = False
    s.socket.close()


def left_over(home): return [p for p in home.rglob('*') if p.is_file() and p.suffix != '.lock' or p.name.endswith('.part')]


def outcome(server, kind):
    "What comes of asking for the file of this kind: its bytes or the error, and the seconds it took."
    start, name = time.monotonic(), (*kinds[kind], 'set.tgz')[2]
    try: got = next(p for p in untar_data(f'{server.web}/{re.sub(chr(92) + "W", "_", kind)}/{name}', timeout=0.3, total=4).rglob('*') if p.is_file()).read_bytes()
    except Exception as e: got = e
    return got, time.monotonic() - start


def test_servers_that_fail(server, home, capsys):
    "Whole and right, or one error in words that names the address; soon; and nothing is left behind."
    with ThreadPoolExecutor(40) as pool: results = dict(zip(kinds, pool.map(lambda kind: outcome(server, kind), kinds)))
    wrong = {}
    for kind, (got, took) in results.items():
        whole = kinds[kind][1]
        right = {1: [noise, table], 2: [noise[::-1]], None: [noise]}.get(whole, [])
        said = isinstance(got, clear) and type(got) in clear and len(str(got)) > 40
        if not (got in right if isinstance(got, bytes) else said and whole in (0, None)) or took > 20:
            wrong[kind] = got[:60] if isinstance(got, bytes) else repr(got)[:300], took
    assert not wrong
    kept = [p for p in left_over(home) if 'archive' in p.parts]
    assert len(kept) == sum(isinstance(got, bytes) for got, _ in results.values()), kept   # of refused ones nothing is kept
    assert not [p for p in home.rglob('*.part')]
    print(f"\n{len(kinds)} ways of a server to fail, {sum(server.calls.values())} calls")


def test_a_full_address_says_what_is_wrong(server, home):
    for address in ('http://', 'http://[::1/x.tgz', 'https://', 'http://a b/x.tgz', 'http://\x00/x.tgz', 'http://127.0.0.1:99999/x.tgz',
                    'http://127.0.0.1:1/x.tgz', 'http://no-such-host.invalid/x.tgz', 'http://' + 'a' * 300 + '/x.tgz', 'ftp://a/x.tgz',
                    'file:' '///etc/passwd', '//a/x.tgz', 'x.tgz', ''):
        with pytest.raises(clear): untar_data(address, timeout=0.3, total=3)
    assert not left_over(home)


def test_what_is_known_of_a_file_is_checked(server, home):
    "Size and checksum of the registry: too long a file is refused before it has come."
    url = f'{server.web}/all_is_well/set.tgz'
    for facts, words in ((dict(size=5), 'instead of 5'), (dict(size=len(good) + 1), 'instead of'), (dict(sha256='0' * 64), 'sha256'),
                         (dict(md5='0' * 32), 'md5')):
        with pytest.raises(ValueError, match=words): untar_data(DataSource(url, **facts))
    with pytest.raises(ValueError, match='instead of 500'): untar_data(DataSource(f'{server.web}/without_end/set.tgz', size=500))
    assert not left_over(home)


def test_addresses_never_touch_other_sets(server, home):
    "Queries, slashes, no names, the same name elsewhere: each gets a folder of its own; forcing one leaves the others."
    faults[''] = faults['q'] = faults['q2'] = lambda r: r.file(other if 'id=2' in r.path or 'q2' in r.path else good)
    addresses = ['/q/set.tgz', '/q2/set.tgz', '/q/set.tgz?id=1', '/q/set.tgz?id=2', '/q/get?id=1', '/q/get?id=2', '/q/set.tgz/', '/q/', '/', '', '/q/..',
                 '/q/%2e%2e%2f', '/q/dogscats.tgz', '/q/data', '/q/archive', '/q/.tgz', '/q/set.tgz#part', '/q/' + 'n' * 300 + '.tgz']
    kept = {a: untar_data(server.web + a) for a in addresses}
    assert len(set(kept.values())) == len(kept) and all(home/'data' in p.parents for p in kept.values())
    for a in addresses:
        inside = {p: p.read_bytes() for p in home.rglob('*.jpg')}
        assert len(inside) == len(addresses)
        assert untar_data(server.web + a, force_download=True) == kept[a]
        assert inside == {p: p.read_bytes() for p in home.rglob('*.jpg')}
    assert all((p/'photo.jpg').read_bytes() == (noise[::-1] if 'id=2' in a or 'q2' in a else noise) for a, p in kept.items())
    print(f'\n{len(addresses)} addresses')


def test_pictures_and_weights_come_the_same_way(server, home, tmp_path, capsys):
    "What `download_images` and the trained weights ask for may fail in as many ways: nothing hangs, nothing half-made is kept."
    from course_lib.vision.core import download_images
    from course_lib.vision.models import _fetch
    f = io.BytesIO()
    __import__('PIL.Image').Image.new('RGB', (400, 300), 'red').save(f, 'BMP')
    picture = f.getvalue()
    def other_file(kind):
        def send(r):
            whole = r.file
            r.file = lambda data=picture, *lines, **more: whole(picture if data in (good, other) else data, *lines, **more)
            kinds[kind][0](r)
        return send
    some = [k for k in kinds if len(kinds[k]) == 2]
    for k in some: faults['p_' + re.sub(r'\W', '_', k)] = other_file(k)
    urls = [f'{server.web}/p_{re.sub(chr(92) + "W", "_", k)}/{i}.bmp' for i, k in enumerate(some)]
    start = time.monotonic()
    failed = dict(download_images(tmp_path/'pics', urls=urls, n_workers=40, timeout=0.2, preserve_filename=True))
    assert time.monotonic() - start < 20
    assert f'{server.web}/p_all_is_well/0.bmp' not in failed and len(failed) > 40
    assert all(len(why) > 10 and 'COURSE_LIB' not in why for why in failed.values())
    got = sorted(p.name for p in (tmp_path/'pics').iterdir())
    assert got == sorted(u.rsplit('/', 1)[1] for u in urls if u not in failed)
    assert all((tmp_path/'pics'/name).read_bytes() == picture for name in got)
    print(f'\n{len(urls)} servers of pictures, {len(failed)} failed')
    for kind in ('hangs_up_at_once', 'a_page_as_archive', 'cut_at_the_same_place__always', 'status_404', 'all_is_well'):
        with pytest.raises(FileNotFoundError, match='pretrained=False'): _fetch('resnet', tmp_path/'net-12345678.pth', f'{server.web}/{kind}/net-12345678.pth')
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != 'cache') == ['pics']


# --------------------------------------------------------------------------------------------------------- the mirror
def test_a_mirror_that_fails(server, home, tmp_path, monkeypatch):
    "`timeout` counts with a mirror too; what was unpacked from it is used when it is away, even from a read-only cache."
    faults['m'] = lambda r: r.file(good) if r.path.endswith('.tgz') else r.file(json.dumps(manifest).encode())
    manifest = dict(datasets=[dict(name='dogscats', file='dogscats.tgz', bytes=len(good), sha256=None)])
    for kind in ('drips_its_body', 'says_nothing', 'status_404', 'a_page_as_archive', 'sent_to_a_file_of_ours', 'an_empty_file', 'without_end'):
        monkeypatch.setenv('COURSE_LIB_MIRROR', f'{server.web}/{kind}')
        start = time.monotonic()
        with pytest.raises(clear): untar_data(URLs.DOGS, timeout=0.3, total=1)
        assert time.monotonic() - start < 15
    for bad in ([1], dict(datasets=[3]), dict(datasets=[dict(name='dogscats')]), dict(datasets=[dict(name='dogscats', file='../x')]),
                dict(datasets=[dict(name=['dogscats'], file='x')])):
        manifest, whole = bad, manifest
        monkeypatch.setenv('COURSE_LIB_MIRROR', f'{server.web}/m')
        with pytest.raises(ValueError, match='manifest'): untar_data(URLs.DOGS, timeout=0.3, total=3)
        manifest = whole
    first = untar_data(URLs.DOGS)
    monkeypatch.setenv('COURSE_LIB_MIRROR', f'{server.web}/drips_its_head')
    assert untar_data(URLs.DOGS, timeout=0.3, total=3) == first
    monkeypatch.setenv('COURSE_LIB_MIRROR', str(tmp_path/'unplugged'))
    assert untar_data(URLs.DOGS) == first
    with pytest.raises(FileNotFoundError): untar_data(URLs.CIFAR)
    with pytest.raises(FileNotFoundError): untar_data(URLs.DOGS, force_download=True)
    assert [p.name for p in left_over(home)] == ['photo.jpg']


def test_a_read_only_cache(home, tmp_path, monkeypatch):
    (tmp_path/'m').mkdir()
    (tmp_path/'m'/'dogscats.tgz').write_bytes(good)
    write_manifest(tmp_path/'m')
    monkeypatch.setenv('COURSE_LIB_MIRROR', str(tmp_path/'m'))
    first = untar_data(URLs.DOGS)
    def no(*args, **kwargs): raise PermissionError(13, 'read-only')
    with monkeypatch.context() as m: # root may write everywhere, so the system calls say no
        for name in ('mkdir', 'rename', 'replace', 'unlink', 'rmdir'): m.setattr(os, name, no)
        assert untar_data(URLs.DOGS) == first
        (tmp_path/'m').joinpath('manifest.json').chmod(0)
        assert untar_data(URLs.DOGS) == first


# ------------------------------------------------------------------------------------------------------------- waiting
def test_who_waits_says_so_and_not_for_ever(home, capsys):
    "Another process has the lock."
    code = 'import time\nfrom course_lib.data.external import one_at_a_time\nwith one_at_a_time("pets"): print("mine", flush=True); time.sleep(60)'
    p = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline() == 'mine\n'
        with pytest.raises(RuntimeError, match=f'process {p.pid}.* has not finished'):
            with one_at_a_time('pets', wait=1.5): pass
        assert f'process {p.pid}) is making it: waiting, 2 s at most' in capsys.readouterr().out
    finally: p.kill(); p.wait()
    with one_at_a_time('pets', wait=0.1): pass   # its lock went with it


# ------------------------------------------------------------------------------------------------------------ archives
def archives(content=None):
    "name -> bytes of an archive, in every way of packing."
    content = content or noise[:6000] + table[:6000]
    def zipped(how):
        f = io.BytesIO()
        with zipfile.ZipFile(f, 'w', how) as z: z.writestr('a/photo.jpg', content); z.writestr('b.txt', b'hello')
        return f.getvalue()
    return {**{f'x.{ext}': tgz(content, kind) for ext, kind in (('tgz', 'gz'), ('tar.bz2', 'bz2'), ('tar.xz', 'xz'))},
            **{f'{how}.zip': zipped(how) for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)},
            'x.csv.gz': gzip.compress(table[:6000]), 'two.tgz': gzip.compress(t := tgz(content, '')[:7000]) + gzip.compress(tgz(content, '')[7000:])}


def contents(folder): return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}


def read(name, data, tmp_path):
    "What is in an archive, or the error; whatever happens, nothing half-made stays."
    (tmp_path/name).write_bytes(data)
    try: got = contents(file_extract(tmp_path/name, tmp_path/'out', replace=True))
    except Exception as e: got = e
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != 'out') == [name]
    (tmp_path/name).unlink()
    return got


def damage(data, rng):
    "A bit flipped, a byte changed, a piece cut out, put in or cut off."
    how, at = rng.randrange(8), rng.randrange(len(data))
    if how < 4: return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
    if how == 4: return data[:at] + rng.randbytes(1) + data[at + 1:]
    if how == 5: return data[:at] + data[at + rng.randrange(1, 100):]
    if how == 6: return data[:at] + rng.randbytes(rng.randrange(1, 100)) + data[at:]
    return data[:at]


def unpack_damaged(tmp_path, n, seed, damage=damage):
    counts, rng = {}, random.Random(seed)
    for name, data in archives().items():
        right, count = read(name, data, tmp_path), dict(refused=0, right=0)
        assert isinstance(right, dict) and right, right
        for i in range(n):
            hurt = damage(data, rng)
            got = read(name, hurt, tmp_path)
            if name.endswith('.csv.gz') and isinstance(got, dict): got = {k: gzip.decompress(v) for k, v in got.items()}
            whole = {k: gzip.decompress(v) for k, v in right.items()} if name.endswith('.csv.gz') else right
            assert isinstance(got, ValueError) and type(got) is ValueError and name in str(got) or got == whole, (name, seed, i, got)
            count['right' if got == whole else 'refused'] += 1
        counts[name] = count
    print(f'\n{counts}')
    return counts


def test_one_flipped_bit(tmp_path):
    "Of no kind of archive are wrong bytes unpacked; the few that unpack had their bit in a date or a note."
    def flip(data, rng):
        at = rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
    counts = unpack_damaged(tmp_path, 100, 1, flip)
    assert all(c['refused'] > 75 for c in counts.values())


@pytest.mark.slow
def test_damage_of_all_kinds(tmp_path):
    for seed in range(2, 2 + many): unpack_damaged(tmp_path, 1000, seed)


def test_a_tar_that_is_not_packed(tmp_path):
    "It has checksums of its headers only: damage there is noticed, and so is a cut."
    data = tgz(noise[:3000], '')
    whole = read('x.tar', data, tmp_path)
    for at in range(0, 512, 3): # a name, a size, an owner: all of it is under the checksum
        got = read('x.tar', data[:at] + bytes([data[at] ^ 1]) + data[at + 1:], tmp_path)
        assert type(got) is ValueError, at
    for n in range(0, 512 + 3072 + 1, 128): assert type(read('x.tar', data[:n], tmp_path)) is ValueError, n
    assert read('x.tar', data[:-100], tmp_path) == whole


def header(name='a', size=0, kind=b'0', link='', **more):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    for k, v in more.items(): setattr(info, k, v)
    return info.tobuf(tarfile.GNU_FORMAT, errors='surrogateescape')


def pax(*notes): return header('x', sum(map(len, notes)), b'x') + b''.join(notes).ljust(512 * (1 + sum(map(len, notes)) // 512), b'\0')
def note(k, v): return next(s for n in range(1, 999) if len(s := f'{n} {k}={v}\n'.encode()) == n)
end = bytes(1024)
lies = {
    'a name of 300 letters': header('a' * 300),
    'a path of 2,000 letters': header('abc/' * 500),
    'a path of 60 folders': header('a/' * 60 + 'b'),
    'no name': header(''),
    'a name of nothing but a dot': header('.'),
    'a name of nothing but slashes': header('./././'[:-1]),
    'a name with a zero in it': pax(note('path', 'a\0b')) + header(),
    'a name that leads up': header('../a'), 'one that leads up by and by': header('a/../../b'), 'an absolute one': header('/etc/a'),
    'one with backslashes': header('..\\a'), 'a drive': header('C:\\a'), 'a share': header('\\\\host\\a'),
    'a long name that leads up': pax(note('path', '../a')) + header(),
    'a link that leads up': header('a', kind=b'2', link='../a'), 'an absolute link': header('a', kind=b'2', link='/etc/passwd'),
    'a hard link to our files': header('a', kind=b'1', link='/etc/passwd'), 'a link to nothing': header('a', kind=b'2', link='b'),
    'a link to itself': header('a', kind=b'2', link='a'), 'two links in a circle': header('a', kind=b'2', link='b') + header('b', kind=b'2', link='a'),
    'a device': header('a', kind=b'3'), 'a block device': header('a', kind=b'4'), 'a pipe': header('a', kind=b'6'), 'a file with holes': header('a', kind=b'S'),
    'a kind of member that there is not': header('a', kind=b'?'),
    'a size it does not have': header('a', 10**12), 'a size in a note': pax(note('size', 10**15)) + header(), 'a size that is no number': pax(note('size', 'many')) + header(),
    'a negative size': header('a', -5) if sys.version_info > (3, 7) else b'', 'a note of its own length': pax(b'9999 path=a\n') + header(), 'a note without a length': pax(b'path=a\n') + header(),
    'a note that is too short': pax(b'3 path=a\n') + header(), 'a note of no end': pax(b'12 path=abcd') + header(),
    'a long name of a gigabyte': header('L', 10**9, b'L'), 'a note of a gigabyte': header('x', 10**9, b'x'), 'a note of a negative size': header('x', -1, b'x'),
    'holes in a note': pax(note('GNU.sparse.major', '1')) + header(),
    'a file that is a folder as well': header('a') + header('a/b'), 'a header of letters': b'a' * 512, 'a header of zeros and one': b'\0' * 511 + b'1',
    'nothing': b'', 'nothing but a folder with the name of the root': b'',
}


@pytest.mark.parametrize('packed', [lambda b: b, gzip.compress, bz2.compress, lzma.compress], ids=['tar', 'gz', 'bz2', 'xz'])
def test_members_that_lie(tmp_path, packed):
    name = 'x.' + ('tar' if packed(b'') == b'' else {b'\x1f\x8b': 'tgz', b'BZ': 'tar.bz2', b'\xfd7': 'tar.xz'}[packed(b'')[:2]])
    for lie, data in lies.items():
        for before in (b'', header('fine.txt')) if data else (b'',):
            got = read(name, packed(before + data + end), tmp_path)
            assert type(got) is ValueError and name in str(got), (lie, got)
    print(f'\n{2 * len(lies)} lies')


def test_zips_that_lie(tmp_path):
    def zipped(name='a', content=b'hello', how=0, **lies):
        f = io.BytesIO()
        with zipfile.ZipFile(f, 'w', how) as z:
            info = zipfile.ZipInfo('fine' if name in ('', '.') else name)
            info.compress_type = how
            z.writestr(info, content)
            for k, v in lies.items(): setattr(info, k, v)
            if name in ('', '.'): info.filename = info.orig_filename = name
        return f.getvalue()
    whole = zipped()
    assert read('x.zip', whole, tmp_path) == {'a': b'hello'}
    bad = [zipped(n) for n in ('../a', '/etc/a', 'C:/a', 'a' * 300, 'a/' * 60 + 'b', '..\\a', '', '.')]
    bad += [zipped(external_attr=kind << 16) for kind in (0o120777, 0o010644, 0o020644, 0o060644, 0o140644)]    # link, pipe, devices, socket
    bad += [zipped(**lie) for lie in (dict(file_size=4), dict(file_size=10**9), dict(compress_size=1), dict(CRC=1), dict(header_offset=3), dict(flag_bits=1),
                                      dict(compress_type=99), dict(compress_type=8), dict(header_offset=10**9))]
    bad += [whole[:n] for n in range(0, len(whole), 7)] + [b'', b'PK\5\6' + bytes(18), whole.replace(b'PK\1\2', b'PK\1\3')]
    for i, data in enumerate(bad):
        got = read('x.zip', data, tmp_path)
        assert type(got) is ValueError and 'x.zip' in str(got), (i, got)
    print(f'\n{len(bad)} zips')


def test_a_damaged_archive_is_not_kept(server, home):
    "It is removed from the cache, with a word, so that the next call downloads it anew."
    faults['heals'] = lambda r: r.file(good[:150_000] + b'?' + good[150_001:]) if r.n == 1 else r.file()
    for _ in range(2):
        url = f'{server.web}/heals/set.tgz'
        if server.calls.get('/heals/set.tgz'): assert (untar_data(url)/'photo.jpg').read_bytes() == noise
        else:
            with pytest.raises(ValueError, match='was removed'): untar_data(url)
            assert not left_over(home)


bombs = r'''
import bz2, gzip, io, lzma, os, struct, sys, tarfile, zipfile, zlib
from pathlib import Path
from course_lib.data.external import file_extract
where, kind = Path(sys.argv[1]), sys.argv[2]
def packed(f, pieces):
    with f as o:
        for p in pieces: o.write(p)
def head(size, kind=b'0', name='a'):
    i = tarfile.TarInfo(name); i.size, i.type = size, kind
    return i.tobuf(tarfile.GNU_FORMAT)
zeros, n = bytes(2**20), 600
def zipped(how): packed(zipfile.ZipFile(where/'x.zip', 'w', how).open('a', 'w'), [zeros] * n)
def xz_of_4_gb():
    b = bytearray(lzma.compress(bytes(10**6)))
    b[12 + 4] = 40
    b[12 + 8:12 + 12] = struct.pack('<I', zlib.crc32(bytes(b[12:12 + 8])))
    (where/'x.tar.xz').write_bytes(b)
def list_of_zip():
    one = struct.pack('<4s4B4HL2L5H2L', b'PK\1\2', 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0)
    with open(where/'x.zip', 'wb') as f:
        for i in range(2_000_000): f.write(one + b'%04x' % (i % 65536))
        size = f.tell()
        f.write(b'PK\6\6' + struct.pack('<QHHLLQQQQ', 44, 45, 45, 0, 0, 2_000_000, 2_000_000, size, 0) + b'PK\6\7' + struct.pack('<LQL', 0, size, 1))
        f.write(b'PK\5\6' + struct.pack('<4HLLH', 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0))
def zip_lzma_of_4_gb():
    with zipfile.ZipFile(where/'x.zip', 'w', zipfile.ZIP_LZMA) as z: z.writestr('a', bytes(10**6))
    b = bytearray((where/'x.zip').read_bytes()); b[30 + 1 + 5:30 + 1 + 9] = b'\xff' * 4
    (where/'x.zip').write_bytes(b)
dict(gz=lambda: packed(gzip.open(where/'x.tgz', 'wb', 1), [head(n * 2**20)] + [zeros] * n),
     bz2=lambda: packed(bz2.open(where/'x.tar.bz2', 'wb', 9), [head(n * 2**20)] + [zeros] * n),
     xz=lambda: packed(lzma.open(where/'x.tar.xz', 'wb', preset=0), [head(n * 2**20)] + [zeros] * n),
     pax=lambda: packed(gzip.open(where/'x.tgz', 'wb', 1), [head(n * 2**20, b'x')] + [zeros] * n),
     name=lambda: packed(gzip.open(where/'x.tgz', 'wb', 1), [head(n * 2**20, b'L')] + [b'a' * 2**20] * n),
     members=lambda: packed(gzip.open(where/'x.tgz', 'wb', 1), (b''.join(head(0, b'5', f'{i}/') for i in range(k, k + 100)) for k in range(0, 60_000, 100))),
     links=lambda: packed(gzip.open(where/'x.tgz', 'wb', 1), [b''.join(head(0, b'2', f'{i}') for i in range(1000))] * 60),
     after=lambda: packed(gzip.open(where/'x.tgz', 'wb', 1), [head(0) + bytes(1024)] + [zeros] * n),
     csv=lambda: packed(gzip.open(where/'x.csv.gz', 'wb', 1), [zeros] * n),
     dictionary=xz_of_4_gb, list=list_of_zip, lzma=zip_lzma_of_4_gb,
     deflated=lambda: zipped(8), zbz2=lambda: zipped(12), zlzma=lambda: zipped(14))[kind]()
code = f"""
import re
from pathlib import Path
from course_lib.data.external import file_extract
p = next(Path({str(where)!r}).glob('x.*'))
try: file_extract(p, p.with_name('out')); print('unpacked', end=' ')
except ValueError as e: print('refused', end=' ')
print(int(re.search('VmHWM:\\\\s+(\\\\d+)', Path('/proc/self/status').read_text())[1]) // 1024)"""
os.execv(sys.executable, [sys.executable, '-c', code])
'''


def bomb(kind, tmp_path):
    out = subprocess.run([sys.executable, '-c', bombs, str(tmp_path), kind], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr[-500:]
    result, mb = out.stdout.split()
    print(f'\n{kind}: {result} with {mb} MB')
    assert result == 'refused' and int(mb) < 500, out.stdout
    assert not [p for p in tmp_path.iterdir() if not p.name.startswith('x.')]


linux = pytest.mark.skipif(not os.path.exists('/proc/self/status'), reason='memory is read from /proc')
@linux
@pytest.mark.parametrize('kind', ['pax', 'dictionary', 'lzma', 'gz'])
def test_bombs(kind, tmp_path): bomb(kind, tmp_path)
@linux
@pytest.mark.slow
@pytest.mark.parametrize('kind', ['bz2', 'xz', 'name', 'members', 'links', 'after', 'csv', 'list', 'deflated', 'zbz2', 'zlzma'])
def test_more_bombs(kind, tmp_path): bomb(kind, tmp_path)


def test_names_on_the_outside_do_not_matter(tmp_path):
    "An archive under a name that does not say what it is: we look inside."
    for data in (good, archives()['8.zip'] if '8.zip' in archives() else good):
        assert any(v == noise or len(v) == 12000 for v in read('download', data, tmp_path).values())
    assert type(read('download', b'hello', tmp_path)) is ValueError


# --------------------------------------------------------------------------------------------------------------- kills
work = r'''
import sys
from course_lib.data.external import untar_data
print('begun', flush=True)
untar_data(sys.argv[1], timeout=2)
'''


def kill_and_go_on(server, home, n, seed):
    "Killed at any moment of download and unpacking: the set is whole or not there, and the next call leaves no remains."
    rng, done = random.Random(seed), 0
    faults['slow'] = lambda r: [r.head(200, f'Content-Length: {len(good)}')] + [(r.raw(good[i:i + 30_000]), time.sleep(0.01)) for i in range(0, len(good), 30_000)]
    for i in range(n):
        url = f'{server.web}/slow/{i}.tgz'
        p = subprocess.Popen([sys.executable, '-c', work, url], stdout=subprocess.PIPE, text=True)
        p.stdout.readline()
        time.sleep(rng.random() * 0.35)
        p.send_signal(signal.SIGKILL)
        done += p.wait() == -signal.SIGKILL
        sets = [f for f in home.glob('data/*/*') if f.parent.name.startswith(f'{i}-') and not f.name.startswith('.')]
        assert all((f/'photo.jpg').read_bytes() == noise for f in sets)
        assert (untar_data(url)/'photo.jpg').read_bytes() == noise
        assert not [f for f in home.rglob('*.part')]
    print(f'\n{done} of {n} kills hit')


def test_kills(server, home): kill_and_go_on(server, home, 5, 0)
@pytest.mark.slow
def test_more_kills(server, home): kill_and_go_on(server, home, 60 * many, 1)


def test_killed_when_all_was_done(server, home, monkeypatch):
    "Between the last rename and the tidying: the set is whole, and the next call removes what is left beside it."
    def leave(dest): (dest.parent/f'.{dest.name[:50]}.abcdefgh.part'/'old0').mkdir(parents=True); return dest
    leave(untar_data(f'{server.web}/all_is_well/set.tgz'))
    untar_data(f'{server.web}/all_is_well/set.tgz')
    monkeypatch.setenv('COURSE_LIB_DATA', 'sample')
    leave(untar_data(URLs.ADULT_SAMPLE).parent)
    untar_data(URLs.ADULT_SAMPLE)
    assert not list(home.rglob('*.part'))


def test_what_is_being_made_is_never_swept(tmp_path):
    "Twenty threads make the same folder and sweep all the time; nobody loses what he is at."
    def one(i):
        with new_folder(tmp_path/'set', replace=True) as f:
            (f/'a').write_text('x'); sweep(tmp_path); time.sleep(0.002)
            assert (f/'a').exists()
    with ThreadPoolExecutor(20) as pool: list(pool.map(one, range(100)))
    assert [p.name for p in tmp_path.iterdir()] == ['set']
