"""Damaged, giant and odd pictures, a damaged cache, and copies of everything: what verify_images lets pass, training takes.

Counts are printed (`pytest -s`); `COURSE_LIB_FAULTS` multiplies the random part marked slow."""
import copy
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import zlib

import pytest

pd = pytest.importorskip('pandas')
import numpy as np
import torch
from PIL import Image

import course_lib.vision.all as v
from course_lib.data.load import DataLoader, DiskCache
from course_lib.torch_core import TensorBase

many = int(os.environ.get('COURSE_LIB_FAULTS', 1))
rng0 = np.random.default_rng(0)
cat = Image.fromarray(np.kron(rng0.integers(0, 256, (12, 16, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8)))


def file_of(im, how, **kwargs):
    f = io.BytesIO(); im.save(f, how, **kwargs)
    return f.getvalue()


def pictures():
    "name -> bytes, in the ways in which people store pictures."
    clear = cat.convert('RGBA'); clear.putalpha(128)
    deep = Image.fromarray((np.array(cat.convert('L')).astype(np.uint16) * 257))
    note = Image.Exif(); note[274] = 6
    return {'a.jpg': file_of(cat, 'JPEG'), 'progressive.jpg': file_of(cat, 'JPEG', progressive=True), 'grey.jpg': file_of(cat.convert('L'), 'JPEG'),
            'cmyk.jpg': file_of(cat.convert('CMYK'), 'JPEG'), 'turned.jpg': file_of(cat, 'JPEG', exif=note), 'a.png': file_of(cat, 'PNG'),
            'clear.png': file_of(clear, 'PNG'), 'palette.png': file_of(cat.quantize(16), 'PNG', transparency=3), 'deep.png': file_of(deep, 'PNG'),
            'a.gif': file_of(cat, 'GIF'), 'a.bmp': file_of(cat, 'BMP'), 'a.tiff': file_of(cat, 'TIFF', compression='tiff_lzw'), 'deep.tiff': file_of(deep, 'TIFF'),
            **({'a.webp': file_of(cat, 'WEBP')} if 'WEBP' in Image.SAVE or Image.init() and 'WEBP' in Image.SAVE else {})}


def damage(data, rng):
    how, at = rng.randrange(6), rng.randrange(len(data))
    if how < 2: return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
    if how == 2: return data[:at] + rng.randbytes(4) + data[at + 4:]
    if how == 3: return data[:at] + data[at + rng.randrange(1, 60):]
    if how == 4: return data[:at] + rng.randbytes(rng.randrange(1, 60)) + data[at:]
    return data[:at]


def try_all(tmp_path, n, seed):
    "Every damaged file is either refused by verify_image, or every way of training takes it."
    rng, counts = random.Random(seed), dict(refused=0, taken=0)
    ways = [lambda f: v.PILImage.create(f), lambda f: v.Resize(32)(v.OpenImage()(f), split_idx=0), lambda f: v.RandomResizedCrop(32)(v.OpenImage()(f), split_idx=0),
            lambda f: v.Resize(32).fixed(v.OpenImage(v.PILImageBW)(f))]
    for name, data in pictures().items():
        (tmp_path/name).write_bytes(data)
        assert v.verify_image(tmp_path/name), name
        for i in range(n):
            f = tmp_path/name
            f.write_bytes(damage(data, rng))
            ok = v.verify_image(f)
            for way in ways:
                try: way(f).load()
                except ValueError as e: assert not ok and str(f) in str(e), (name, seed, i, e)
            counts['taken' if ok else 'refused'] += 1
    print(f'\n{counts}')
    return counts


def test_damaged_pictures(tmp_path): assert min(try_all(tmp_path, 40, 0).values()) > 100
@pytest.mark.slow
def test_more_damaged_pictures(tmp_path):
    for seed in range(1, 1 + many): try_all(tmp_path, 400, seed)


def test_pipes_and_devices_are_no_pictures(tmp_path):
    os.mkfifo(tmp_path/'pipe.jpg')
    (tmp_path/'endless.jpg').symlink_to('/dev/zero')
    (tmp_path/'random.png').symlink_to('/dev/urandom')
    (tmp_path/'gone.jpg').symlink_to(tmp_path/'nowhere')
    cat.save(tmp_path/'cat.jpg'); (tmp_path/'linked.jpg').symlink_to(tmp_path/'cat.jpg')
    assert [f.name for f in v.get_image_files(tmp_path)] == ['cat.jpg', 'gone.jpg', 'linked.jpg']  # what is missing is said in training
    for name in ('pipe.jpg', 'endless.jpg', 'random.png'):
        with pytest.raises(ValueError, match='pipe or a device'): v.PILImage.create(tmp_path/name)
        assert not v.verify_image(tmp_path/name)
    assert [f.name for f in v.verify_images(sorted(tmp_path.iterdir()))] == ['endless.jpg', 'gone.jpg', 'pipe.jpg', 'random.png']
    small = v.resize_images(tmp_path, max_size=20, dest=tmp_path/'small')
    assert sorted(p.name for p in (tmp_path/'small').iterdir()) == ['cat.jpg', 'linked.jpg']


def test_a_program_is_no_picture(tmp_path):
    "Pillow hands PostScript to another program, whatever the file is called."
    (tmp_path/'a.jpg').write_bytes(file_of(cat, 'EPS'))
    with pytest.raises(ValueError, match='PostScript'): v.PILImage.create(tmp_path/'a.jpg')
    assert not v.verify_image(tmp_path/'a.jpg')


@pytest.mark.parametrize('w, h', [(60_000, 1), (1, 60_000), (60_000, 3), (7, 9_000), (20_000, 40), (900, 30)])
@pytest.mark.parametrize('size', [64, (32, 96)])
def test_very_long_pictures(w, h, size):
    "In all methods, as file and as tensor, for training and validation: the size asked for, and never much more on the way."
    im = v.PILImage.create(rng0.integers(0, 256, (h, w, 3), dtype=np.uint8))
    hw = v.Resize(size).size
    for method in ('crop', 'pad', 'squish'):
        r = v.Resize(size, method)
        assert r.fixed(im).size[0] * r.fixed(im).size[1] <= max(16 * hw[0] * hw[1], w * h)
        for split in (0, 1):
            torch.manual_seed(1); a = r(im, split_idx=split)
            torch.manual_seed(1); b = r(v.ToTensor()(r.fixed(im)), split_idx=split)
            assert a.shape == tuple(b.shape[-2:]) == hw
            assert torch.equal(a.to_tensor(), b) or r.too_long(h, w)
            seg = r((im, v.PILMask.create(np.zeros((h, w), np.uint8))), split_idx=split)
            assert seg[0].shape == seg[1].shape == hw


def giant(mode, side, rows=None):
    "A PNG of `side` × `side` pixels that says little: a few kilobytes of zeros."
    depth, kind, each = dict(L=(8, 0, 1), deep=(16, 0, 2), RGB=(8, 2, 3), RGBA=(8, 6, 4), deepRGB=(16, 2, 6), deepRGBA=(16, 6, 8), LA=(8, 4, 2), P=(8, 3, 1))[mode]
    def chunk(name, data): return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
    z = zlib.compressobj(9)
    body = b''.join(z.compress(bytes(1 + side * each)) for _ in range(rows or side)) + z.flush()
    palette = chunk(b'PLTE', bytes(6)) + chunk(b'tRNS', b'\0') if mode == 'P' else b''
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, depth, kind, 0, 0, 0)) + palette + chunk(b'IDAT', body) + chunk(b'IEND', b'')


look = r'''
import re, sys
import course_lib.vision.all as v
def most(): return int(re.search(r'VmHWM:\s+(\d+)', open('/proc/self/status').read())[1])   # kB
before = most()
try: v.PILImage.create(sys.argv[1]); print('taken', end=' ')
except ValueError as e: assert 'is too big' in str(e), e; print('refused', end=' ')
print((most() - before) // 1000)'''


@pytest.mark.skipif(not os.path.exists('/proc/self/status'), reason='memory is read from /proc')
@pytest.mark.slow
@pytest.mark.parametrize('mode', ['L', 'deep', 'RGB', 'RGBA', 'deepRGB', 'deepRGBA', 'LA', 'P'])
def test_giants_are_counted_in_bytes(mode, tmp_path):
    "However a giant is stored: it is opened in less than 1 GB, or refused before that."
    for side in (9_000, 13_300):
        (tmp_path/'giant.png').write_bytes(giant(mode, side))
        out = subprocess.run([sys.executable, '-c', look, str(tmp_path/'giant.png')], capture_output=True, text=True)
        assert out.returncode == 0, out.stderr[-400:]
        print(f'\n{mode} {side}: {out.stdout.strip()} MB')
        assert int(out.stdout.split()[1]) < 1000


def test_giants_in_small(tmp_path, monkeypatch):
    "The same with a lower limit: 16 bits and transparency count, large files are not read, converting in strips changes nothing."
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 50_000)
    for mode, side, taken in (('L', 300, True), ('L', 317, False), ('deep', 260, True), ('deep', 300, False), ('RGBA', 240, True), ('RGBA', 300, False)):
        f = tmp_path/f'{mode}{side}.png'
        f.write_bytes(giant(mode, side))
        assert v.verify_image(f) == taken, (mode, side)
        if not taken:
            with pytest.raises(ValueError, match='is too big'): v.PILImage.create(f)
    (tmp_path/'fat.jpg').write_bytes(file_of(cat, 'JPEG') + bytes(600_000))
    with pytest.raises(ValueError, match='is too big'): v.PILImage.create(tmp_path/'fat.jpg')


def test_strips_change_nothing(monkeypatch):
    from course_lib.vision import core
    for name, data in pictures().items():
        whole = np.array(v.PILImage.create(data))
        with monkeypatch.context() as m:
            m.setattr(core, '_strips', lambda im: ((t, im.crop((0, t, im.width, min(im.height, t + 7)))) for t in range(0, im.height, 7)))
            m.setattr(core, '_by_strips', by_sevens)
            assert np.array_equal(np.array(v.PILImage.create(data)), whole), name


def by_sevens(im, f, mode):
    from course_lib.vision.core import _strips
    out = Image.new(mode, im.size)
    for top, part in _strips(im): out.paste(f(part), (0, top))
    return out


# ------------------------------------------------------------------------------------------------------------ the cache
@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('pets')
    for i in range(12):
        (path/'cat dog'.split()[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(rng0.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path/'cat dog'.split()[i % 2]/f'{i}.png')
    return path


def loaders(folder, **kwargs): return v.ImageDataLoaders.from_folder(folder, valid_pct=0.25, seed=1, bs=3, item_tfms=v.Resize(16), num_workers=0, **kwargs)
def epoch(dl): return torch.cat([b[0].as_subclass(torch.Tensor) for b in dl])


def test_a_damaged_cache_heals(folder, tmp_path):
    "Whatever happens to its files: the same pictures come, and afterwards the cache is whole again."
    right, rng, n = epoch(loaders(folder).valid), random.Random(0), 0
    kept = tmp_path/'kept'
    assert torch.equal(epoch(loaders(folder, cache=kept).valid), right)
    names = sorted(p.name for p in kept.iterdir())
    whole = {name: (kept/name).read_bytes() for name in names}
    def hurt(name, data): (kept/name).write_bytes(data)
    harms = [lambda: hurt(name, damage(whole[name], rng)), lambda: hurt(name, b''), lambda: hurt(name, whole[name][:-1]), lambda: hurt(name, bytes(len(whole[name]))),
             lambda: (kept/name).unlink(), lambda: hurt(name, b'[]'), lambda: hurt(name, b'{"sum": 1}'), lambda: hurt(name, whole[name] + b'x')]
    for name in names:
        for harm in [harms[0]] * 40 + harms[1:]:
            harm(); n += 1
            dl = loaders(folder, cache=kept).valid
            assert torch.equal(epoch(dl), right) and torch.equal(epoch(dl), right)
            assert {name: (kept/name).read_bytes() for name in names} == whole
    while_open = loaders(folder, cache=kept).valid
    assert torch.equal(epoch(while_open), right)
    hurt(next(name for name in names if name.endswith('.bytes')), b'')   # cut short under our hands
    assert torch.equal(epoch(while_open), right)
    (kept/f'.{names[0]}.abcd1234.part').mkdir()                           # of a killed program
    (kept/names[0]).unlink()
    epoch(loaders(folder, cache=kept).valid)
    assert sorted(p.name for p in kept.iterdir()) == names
    print(f'\n{n} damages of the cache')


def test_a_cache_that_cannot_be_written(folder, tmp_path, capsys):
    (tmp_path/'file').write_text('in the way')
    right = epoch(loaders(folder).valid)
    dl = loaders(folder, cache=tmp_path/'file').valid
    assert torch.equal(epoch(dl), right) and torch.equal(epoch(dl), right)
    assert 'cannot be kept' in capsys.readouterr().out


# --------------------------------------------------------------------------------------------------------------- copies
def name_is_long(name): return len(name) > 5
def is_cat(path): return 'cat' in str(path)


def test_copies_of_tensors():
    kinds = [TensorBase] + [c for c in map(lambda n: getattr(v, n, None) or getattr(__import__('course_lib.torch_core', fromlist=['x']), n), ['TensorImage', 'TensorImageBW',
             'TensorMask', 'TensorPoint', 'TensorCategory', 'TensorMultiCategory'])]
    for kind in kinds:
        t = torch.rand(2, 3).as_subclass(kind)
        t.note = [1]
        grad = torch.rand(2).as_subclass(kind).requires_grad_()
        for again in (copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))):
            a = again(t)
            assert type(a) is kind and torch.equal(a.as_subclass(torch.Tensor), t.as_subclass(torch.Tensor)), (kind, again)
            b = again(dict(x=t, y=t))
            assert b['x'] is b['y']
        assert copy.deepcopy(t).note == [1] and copy.deepcopy(t).note is not t.note
        assert copy.deepcopy(grad).requires_grad and copy.deepcopy(grad).is_leaf
        assert copy.deepcopy(t).data_ptr() != t.data_ptr()


plans = dict(folder=lambda p: loaders(p), func=lambda p: v.ImageDataLoaders.from_path_func(p, v.get_image_files(p), is_cat, bs=3, item_tfms=v.Resize(16), batch_tfms=v.aug_transforms()),
             name=lambda p: v.ImageDataLoaders.from_name_func(p, v.get_image_files(p), name_is_long, bs=3, item_tfms=v.RandomResizedCrop(16)),
             regex=lambda p: v.ImageDataLoaders.from_path_re(p, v.get_image_files(p), r'/(cat|dog)/', bs=3, item_tfms=v.Resize(16), batch_tfms=v.Normalize.from_stats(*v.imagenet_stats)),
             lists=lambda p: v.ImageDataLoaders.from_lists(p, v.get_image_files(p), ['a', 'b'] * 6, bs=3, item_tfms=v.Resize(16)),
             masks=lambda p: v.SegmentationDataLoaders.from_label_func(p, v.get_image_files(p), label_func=is_cat_mask, codes=['x', 'y'], bs=3, item_tfms=v.Resize(16)),
             kept=lambda p: loaders(p, cache=p.parent/'kept_copy'))
def is_cat_mask(path): return np.zeros((20, 24), np.uint8)


@pytest.mark.parametrize('plan', plans)
def test_copies_of_loaders_and_learners(plan, folder):
    "Copied deeply or sent to another process, fresh or used: the same batches."
    for used in (False, True):
        dls = plans[plan](folder)
        if used: next(iter(dls.train)); next(iter(dls.valid))
        for again in (copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))):
            twin = again(dls)
            assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(dls.valid.one_batch(), twin.valid.one_batch()))
            assert twin.train.one_batch()[0].shape == dls.train.one_batch()[0].shape
    if plan == 'folder':
        learn = v.vision_learner(dls, v.resnet18, pretrained=False, metrics=v.accuracy)
        for again in (copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))):
            twin = again(learn)
            before = [p.detach().clone() for p in learn.model.parameters()]
            with twin.no_bar(), twin.no_logging(): twin.fit(1)
            assert all(torch.equal(a, b) for a, b in zip(before, learn.model.parameters()))   # the first one was left alone


def test_copies_of_transforms():
    for t in (v.Transform(is_cat), v.Transform(str.upper, str.lower, split_idx=0), v.Resize(64), v.Pipeline([is_cat, v.ToTensor()]), v.using_attr(name_is_long, 'name'),
              v.RegexLabeller('(a)'), v.Normalize.from_stats(*v.imagenet_stats)):
        for again in (copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))): assert repr(again(t)) == repr(t)
    t = v.Transform(is_cat); t('x')
    assert pickle.loads(pickle.dumps(t))('a cat') is True
