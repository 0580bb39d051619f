"""The same answer whatever way it came: from threads, from caches, through samplers, after other loaders, other learners, and from a file."""
import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pd = pytest.importorskip('pandas')
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils import data as td

import course_lib.collab as c
import course_lib.tabular.all as t
import course_lib.vision.all as v
from course_lib.apps.dogscats import course_tiny
from course_lib.learner import Learner, in_order, load_learner
from course_lib.transform import RandTransform, Transform, pure

colours = 'red green blue'.split()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Sixty noisy squares: the class is the folder, the brightness differs from file to file."
    at, rng = tmp_path_factory.mktemp('squares'), np.random.default_rng(0)
    for i in range(60):
        (at/'train'/colours[i % 3]).mkdir(parents=True, exist_ok=True)
        (at/'valid'/colours[i % 3]).mkdir(parents=True, exist_ok=True)
        a = rng.integers(0, 60, (32, 40, 3), np.uint8)
        a[..., i % 3] += np.uint8(60 + 2 * i)
        Image.fromarray(a).save(at/('valid' if i % 4 == 0 else 'train')/colours[i % 3]/f'{i:02d}.png')
    return at


def quiet(learn):
    learn.logging = learn.bars = False
    return learn


def pictures(folder, **kwargs):
    return v.ImageDataLoaders.from_folder(folder, **{**dict(item_tfms=v.Resize(24), bs=8), **kwargs})


def picture_learner(dls, **kwargs):
    torch.manual_seed(0)
    return quiet(v.vision_learner(dls, course_tiny, pretrained=False, **kwargs))


# threads

def asked_by_many(ask, items, n=1000, threads=8):
    "Ask `n` times from 8 threads, and count answers that are not those of one thread alone."
    alone = [ask(o) for o in items]
    order = [random.Random(0).randrange(len(items)) for _ in range(n)]
    with ThreadPoolExecutor(threads) as pool: said = list(pool.map(lambda i: ask(items[i]), order))
    return sum(a != alone[i] for a, i in zip(said, order)), len({*map(str, alone)})


def learner_of(kind, folder):
    if kind == 'pictures':
        learn = picture_learner(pictures(folder))
        learn.fit(1)
        return learn, lambda f: tuple(learn.predict(f)[2].tolist()), list(v.get_image_files(folder))
    if kind == 'points':
        at = {f: (4. + i % 30, 20. - i % 13) for i, f in enumerate(v.get_image_files(folder))}
        block = v.DataBlock((v.ImageBlock, v.PointBlock), get_y=lambda f: [at[f]], item_tfms=v.Resize(24), splitter=v.RandomSplitter(seed=0))
        learn = picture_learner(block.dataloaders(list(at), bs=8), y_range=(-1, 1))
        learn.fit(1)
        return learn, lambda f: tuple(learn.predict(f)[1].flatten().tolist()), list(at)
    rng = np.random.default_rng(1)
    if kind == 'texts':
        import course_lib.text.all as x
        words = ['the film was good', 'a dull plot', 'great actors', 'not so bad', 'what a fine story', 'no']
        df = pd.DataFrame({'text': [f'{a} and {b}' for a in words for b in words], 'label': list('ab') * 18})
        dls = x.TextDataLoaders.from_df(df, text_col='text', label_col='label', bs=8, seed=0)
        config = dict(x.awd_lstm_clas_config, emb_sz=8, n_hid=8, n_layers=2)
        learn = quiet(x.text_classifier_learner(dls, x.AWD_LSTM, pretrained=False, config=config))
        learn.fit(1)
        return learn, lambda o: tuple(learn.predict(o)[2].tolist()), df.text.tolist()
    if kind == 'table':
        df = pd.DataFrame({'a': rng.normal(size=200), 'b': rng.choice(list('wxyz'), 200), 'y': rng.choice(['n', 'm'], 200)})
        df.loc[::7, 'a'] = np.nan
        dls = t.TabularDataLoaders.from_df(df, procs=[t.Categorify, t.FillMissing, t.Normalize], cat_names=['b'], cont_names=['a'], y_names='y', bs=16)
        learn = quiet(t.tabular_learner(dls, layers=[8]))
        learn.fit(1)
        return learn, lambda i: tuple(learn.predict(df.iloc[i])[2].tolist()), list(range(60))
    films = pd.DataFrame([(f'u{u}', f'i{i}', 1. + (u * i) % 5) for u in range(12) for i in range(12)], columns=['user', 'item', 'rating'])
    learn = quiet(c.collab_learner(c.CollabDataLoaders.from_df(films, bs=16), 4, y_range=(.5, 5.5)))
    learn.fit(1)
    return learn, lambda p: learn.predict(p)[1], [(f'u{u}', f'i{u % 7}') for u in range(12)]


kinds = ['pictures', 'table', 'ratings', 'points', 'texts']

@pytest.mark.parametrize('kind', kinds)
def test_each_thread_gets_its_own_answer(kind, folder, n=150):
    learn, ask, items = learner_of(kind, folder)
    before = list(learn.cbs)
    wrong, different = asked_by_many(ask, items[:20], n)
    assert wrong == 0 and different > 5
    assert list(learn.cbs) == before and learn.scores in before
    learn.validate()
    learn.fit(1)


@pytest.mark.slow
@pytest.mark.parametrize('kind', kinds)
def test_each_thread_a_thousand_times(kind, folder): test_each_thread_gets_its_own_answer(kind, folder, 1000)


def test_others_judge_and_train_meanwhile(folder):
    "One thread trains, one judges, six predict: nobody gets an error, and the training is the one of a learner left alone."
    def trained(company):
        learn = picture_learner(pictures(folder, shuffle=False), metrics=v.accuracy)
        files, stop, errors = list(v.get_image_files(folder)), threading.Event(), []
        def work(f):
            try:
                while not stop.is_set(): f()
            except Exception as e: errors.append(e)
        asks = [learn.validate, lambda: learn.get_preds(), *[lambda f=f: learn.predict(f) for f in files[:6]]]
        threads = [threading.Thread(target=work, args=[f]) for f in asks[:8 * company]]
        for o in threads: o.start()
        learn.fit(2, 1e-3)
        stop.set()
        for o in threads: o.join()
        assert not errors, errors
        return [p.detach().clone() for p in learn.model.parameters()]
    alone, watched = trained(0), trained(1)
    assert all(torch.equal(a, b) for a, b in zip(alone, watched))


def test_steps_shared_by_threads():
    "Ours and others', called directly and in a pipeline: each picture is cut by its own size."
    class Noted(Transform): # notes in one `encodes` what the next one needs
        def encodes(self, x:v.PILImage):
            self.wh = x.size
            time.sleep(.0005)
            return x
        def encodes(self, x:v.TensorPoint): return v.TensorPoint(x / torch.tensor(self.wh))
    sizes = [(20 + 3 * i, 50 - i) for i in range(40)]
    items = [(v.PILImage.create(np.zeros((h, w, 3), np.uint8)), v.TensorPoint(torch.tensor([[w / 2, h / 2]]))) for w, h in sizes]
    for step in (Noted(), v.Pipeline([Noted()])):
        with ThreadPoolExecutor(8) as pool: got = [p for _, p in pool.map(step, items * 5)]
        assert all(torch.allclose(p, torch.full((1, 2), .5)) for p in got)
    centred = [(im, v.TensorPoint(torch.zeros(1, 2))) for im, _ in items]
    for step in (v.CropPad(16), v.Resize(16), v.RandomResizedCrop(16)):
        with ThreadPoolExecutor(8) as pool: got = [p for _, p in pool.map(lambda o: step(o, split_idx=1), centred * 5)]
        assert all((p.abs() < .1).all() for p in got), step


def test_foreign_counters_still_count():
    class Count(RandTransform):
        n = 0
        def before_call(self, b, split_idx): self.n += 1
        def encodes(self, x:int): return x + self.n
    step = Count()
    assert [step(0), step(0), v.Pipeline(step)(0, split_idx=0), step.n] == [1, 2, 3, 3]


# caches

class Cutout(RandTransform):
    order = 6
    def encodes(self, x:v.TensorImage):
        i, j = torch.randint(0, 16, (2,)).tolist()
        x[..., i:i + 6, j:j + 6] = 0
        return x


class Scribble(Transform):
    order = 0
    def encodes(self, x:v.PILImage):
        x.putpixel((0, 0), (255, 0, 255))
        x.paste((0, 0, 0), (5, 5, 5 + random.randint(1, 9), 9))
        return x


def holes(batch): return (batch == 0).all(1).float().mean().item()


@pytest.mark.parametrize('cache', ['memory', 'folder', None])
def test_steps_that_write_into_their_item(cache, folder, tmp_path):
    dls = pictures(folder, item_tfms=[v.Resize(24), Cutout], cache=tmp_path/'kept' if cache == 'folder' else cache, bs=45)
    shares = [holes(dls.train.one_batch()[0]) for _ in range(6)]
    assert max(shares) < 0.09, shares
    before = pictures(folder, item_tfms=[Scribble, v.Resize(24)], bs=45)
    assert all(holes(before.train.one_batch()[0]) < .12 for _ in range(6))


def test_other_frames_every_epoch_and_the_same_by_seed(tmp_path):
    for k in range(12): Image.new('L', (8, 8), 20 * k).convert('RGB').save(tmp_path/f'{k}.png')
    def frames(**kwargs):
        random.seed(3)
        block = v.DataBlock((v.ImageBlock, v.CategoryBlock), get_x=lambda i: random.choice(sorted(tmp_path.glob('*.png'))), get_y=lambda i: i % 2,
                            splitter=v.IndexSplitter([0]))
        dls = block.dataloaders(v.L(range(9)), bs=8, shuffle=False, **kwargs)
        return [(dls.train.one_batch()[0][:, 0, 0, 0] * 255 / 20).round().tolist() for _ in range(4)]
    first = frames()
    assert len({*map(tuple, first)}) == 4
    for kwargs in (dict(cache=None), dict(num_workers=8), dict(num_workers=0), dict(cache=tmp_path/'kept')): assert frames(**kwargs) == first


def test_labels_are_asked_anew(folder):
    said = {'swap': False}
    def label(f): return colours[(colours.index(f.parent.name) + said['swap']) % 3]
    block = v.DataBlock((v.ImageBlock, v.CategoryBlock), get_items=v.get_image_files, get_y=label, splitter=v.GrandparentSplitter(), item_tfms=v.Resize(24))
    dls = block.dataloaders(folder, bs=45, shuffle=False)
    before = dls.train.one_batch()[1]
    assert torch.equal(before, dls.train.one_batch()[1])
    said['swap'] = True
    now = dls.train.one_batch()[1]
    assert [dls.vocab[i] for i in now] == [colours[(colours.index(dls.vocab[i]) + 1) % 3] for i in before]


@pytest.mark.parametrize('where', ['memory', 'folder'])
def test_a_file_that_was_changed(where, tmp_path, capsys):
    "Pictures and masks, found by a function, by a column, or lying there themselves: the loader sees the new ones."
    pics, masks = tmp_path/'pics', tmp_path/'masks'
    for d in (pics, masks): d.mkdir()
    for i in range(4):
        Image.new('RGB', (8, 8), (50, 50, 50)).save(pics/f'{i}.png')
        Image.new('L', (8, 8), 1).save(masks/f'{i}.png')
    df = pd.DataFrame({'name': [f'{i}.png' for i in range(4)], 'label': list('abab')})
    cache = 'memory' if where == 'memory' else tmp_path/'kept'
    plans = [v.ImageDataLoaders.from_df(df, pics, bs=4, shuffle=False, valid_pct=0, seed=0, cache=cache),
             v.SegmentationDataLoaders.from_label_func(pics, v.get_image_files(pics), lambda f: masks/f.name, codes=list('xyz'), bs=4, shuffle=False, valid_pct=0, seed=0, cache=cache)]
    for dls in plans: list(dls.train), list(dls.train)
    Image.new('RGB', (8, 8), (200, 200, 200)).save(pics/'2.png')
    Image.new('L', (8, 8), 2).save(masks/'3.png')
    for dls in plans:
        x = next(iter(dls.train))[0]
        assert sorted((x[:, 0, 0, 0] * 255).round().tolist()) == [50, 50, 50, 200]
    assert sorted(next(iter(plans[1].train))[1][:, 0, 0].tolist()) == [1, 1, 1, 2]
    again = v.ImageDataLoaders.from_df(df, pics, bs=4, shuffle=False, valid_pct=0, seed=0, cache=cache)
    for _ in range(2): assert sorted((next(iter(again.train))[0][:, 0, 0, 0] * 255).round().tolist()) == [50, 50, 50, 200]
    if where == 'folder': assert 'were made from other files' in capsys.readouterr().out


calls = []

def test_what_is_declared_pure_is_kept_until_its_code_changes(folder, tmp_path):
    def loaders(step): return pictures(folder, item_tfms=[v.Resize(24, 'squish'), step], bs=45, cache=tmp_path/'kept', shuffle=False)
    @pure
    class Half(Transform):
        order = 6
        def encodes(self, x:v.TensorImage): calls.append(1); return x // 2
    first = loaders(Half()).train.one_batch()[0]
    n = len(calls)
    again = loaders(Half())
    assert torch.equal(again.train.one_batch()[0], first) and torch.equal(again.train.one_batch()[0], first)
    assert len(calls) <= n + 1 # types are found out with one item
    @pure
    class Half(Transform):
        order = 6
        def encodes(self, x:v.TensorImage): return x // 4
    assert not torch.equal(loaders(Half()).train.one_batch()[0], first)


def test_heirs_and_wrappers_have_to_say_for_themselves(folder):
    class Flicker(v.OpenImage): # an heir of one of ours, and no constant
        def encodes(self, o): return v.PILImage.create(np.full((4, 4, 3), random.randrange(256), np.uint8))
    files = v.get_image_files(folder)
    made = v.Datasets(files, [[Flicker], [v.parent_label, v.Categorize()]], splits=[range(40), range(40, 60)]).dataloaders(bs=40, shuffle=False, after_item=v.ToTensor())
    assert not torch.equal(made.train.one_batch()[0], made.train.one_batch()[0])
    class Shuffled(v.Datasets):
        def __getitem__(self, i): return super().__getitem__(random.randrange(len(self)))
    plain = v.Datasets(files, [[v.OpenImage], [v.parent_label, v.Categorize()]], splits=[range(40), range(40, 60)])
    odd = v.DataLoader(Shuffled(tls=plain.tls), bs=60, after_item=v.ToTensor(), shuffle=False)
    assert not torch.equal(odd.one_batch()[0], odd.one_batch()[0])
    class Loose(v.Resize): # draws elsewhere than ours: its phase without chance is not known
        def encodes(self, x:v.PILImage): return x.resize((24, 24)) if x.size == (40, 32) else 1 / 0
    v.ImageDataLoaders.from_folder(folder, item_tfms=Loose(8), bs=8).one_batch()


def test_steps_exchanged_after_the_first_epoch(folder):
    dls = pictures(folder, bs=45, shuffle=False)
    assert dls.train.one_batch()[0].shape[-1] == 24
    dls.train.after_item = v.Pipeline([v.Resize(16), v.ToTensor()])
    assert dls.train.one_batch()[0].shape[-1] == 16


def test_setups_of_others_learn_from_the_training_data_only(folder):
    class Scale(Transform):
        order = 50
        def setups(self, dl): self.top = dl.dataset[0][0].getextrema()[0][1] if hasattr(dl, 'dataset') else None; self.times = getattr(self, 'times', 0) + 1
        def encodes(self, x:v.TensorImage): return x / self.top
    dls = pictures(folder, batch_tfms=Scale())
    scale = next(f for f in dls.train.after_batch.fs if isinstance(f, Scale))
    top = scale.top
    dls.test_dl(v.get_image_files(folder/'valid')[-1:]).one_batch()
    assert (scale.top, scale.times) == (top, 1)


# order

def test_weighted_and_cut_loaders(folder):
    dls = pictures(folder, weights='balanced', bs=16)
    learn = picture_learner(dls)
    true = torch.tensor([int(y) for y in dls.train_ds.targets()])
    plain = learn.get_preds(ds_idx=0)
    for got in (learn.get_preds(dl=dls.train), learn.tta(dl=dls.train, n=2), learn.tta(ds_idx=0, n=1)):
        assert torch.equal(got[1], true)
    assert torch.allclose(learn.get_preds(dl=dls.train)[0], plain[0])
    i = v.ClassificationInterpretation.from_learner(learn, dl=dls.train)
    assert torch.equal(i.targs, true)
    by_hand = F.nll_loss(plain[0].log(), true).item()        # judging takes every item once, too
    for judged in (learn.validate(0), learn.validate(dl=dls.train)): assert abs(judged[0] - by_hand) < 1e-4
    assert len(list(dls.train)) == len(true) // 16           # and training goes on drawing as before


class Backwards(v.DataLoader):
    def get_idxs(self): return list(range(self.n))[::-1]


class Third(v.DataLoader):
    def get_idxs(self): return random.sample(range(0, self.n, 3), len(range(0, self.n, 3)))


class Often(v.DataLoader):
    def get_idxs(self): return [random.randrange(self.n) for _ in range(self.n)]


def test_orders_of_ones_own(folder, capsys):
    dls = pictures(folder, bs=8)
    learn = picture_learner(dls)
    n, true = len(dls.train_ds), torch.tensor([int(y) for y in dls.train_ds.targets()])
    preds = learn.get_preds(ds_idx=0)[0]
    made = {k: k(dls.train_ds, bs=8, after_item=dls.valid.after_item, after_batch=dls.valid.after_batch, split_idx=1) for k in (Backwards, Third, Often)}
    for kind, rows in ((Backwards, range(n)), (Third, range(0, n, 3)), (Often, range(n))):
        p, y = learn.get_preds(dl=made[kind])
        assert torch.equal(y, true[list(rows)]) and torch.allclose(p, preds[list(rows)], atol=1e-6), kind
        p, y = learn.tta(dl=made[kind], n=2)
        assert torch.equal(y, true[list(rows)])
        i = v.ClassificationInterpretation.from_learner(learn, dl=made[kind])
        places = list(rows) if i.places is None else i.places
        assert torch.equal(i.targs, true[places])
    assert 'draws items several times' in capsys.readouterr().out
    i = v.ClassificationInterpretation.from_learner(learn, dl=made[Third])
    shown = []
    i.dl.decode_batch = lambda b, *a: shown.append(b[1]) or [(v.PILImage.create(np.zeros((8, 8, 3), np.uint8)), 'x')]
    i.show_at([0, 2])
    assert torch.equal(torch.cat(shown), i.targs[[0, 2]])


@pytest.mark.parametrize('sampler, rows', [(td.SubsetRandomSampler(range(30, 40)), range(30, 40)), (td.WeightedRandomSampler([1.] * 50, 200), range(50)),
                                           (td.RandomSampler(range(50), num_samples=7), range(50)), ([3, 1, 4], [3, 1, 4])])
def test_torch_samplers(sampler, rows):
    x = torch.randn(50, 4)
    ds = td.TensorDataset(x, torch.arange(50) % 2)
    dls = v.DataLoaders(td.DataLoader(ds, 8, shuffle=True, drop_last=True), td.DataLoader(ds, 8, sampler=sampler, drop_last=True))
    learn = quiet(Learner(dls, nn.Linear(4, 2), F.cross_entropy, metrics=v.accuracy))
    learn.fit(1)
    preds, targs = learn.get_preds()
    assert torch.equal(targs, ds.tensors[1][list(rows)])
    assert torch.allclose(preds, learn.model(x[list(rows)]).softmax(1), atol=1e-6)
    assert learn.validate()[1] == pytest.approx((preds.argmax(1) == targs).float().mean().item())
    assert torch.equal(learn.get_preds(dl=dls.train)[1], ds.tensors[1])
    assert len(torch.cat([y for _, y in in_order(dls.train)])) == 50


# what predicting needs

def test_normalisation_goes_along(folder, tmp_path, capsys):
    early_dls, larger = pictures(folder), pictures(folder, item_tfms=v.Resize(32))
    early = early_dls.test_dl(v.get_image_files(folder)[:5])
    learn = picture_learner(early_dls)
    learn.fit(1)
    want = learn.get_preds(dl=learn.dls.test_dl(v.get_image_files(folder)[:5]))[0]
    assert torch.equal(learn.get_preds(dl=early)[0], want)
    assert torch.equal(learn.tta(dl=early, n=1, beta=1.)[0], want)
    learn.dls = larger
    assert isinstance(learn.dls.train.after_batch.fs[-1], v.Normalize) and isinstance(learn.dls.valid.after_batch.fs[-1], v.Normalize)
    new = load_learner(learn.export(tmp_path/'m.pkl'))
    f = v.get_image_files(folder)[7]
    assert torch.equal(new.predict(f)[2], learn.predict(f)[2])
    own = pictures(folder, batch_tfms=v.Normalize.from_stats(*v.mnist_stats))
    capsys.readouterr()
    learn.dls = own
    assert 'normalise by other numbers' in capsys.readouterr().out and learn.dls is own


def test_two_architectures_on_the_same_data(folder):
    dls, files = pictures(folder), list(v.get_image_files(folder))[:9]
    torch.manual_seed(0)
    a = quiet(v.vision_learner(dls, 'course_small', pretrained=False))     # cifar's statistics
    said = a.get_preds(dl=dls.test_dl(files))[0]
    b = quiet(v.vision_learner(dls, 'resnet18', pretrained=False))         # imagenet's
    assert torch.equal(a.get_preds(dl=dls.test_dl(files))[0], said)
    norms = [o.dls.train.after_batch.fs[-1].mean.flatten().tolist() for o in (a, b)]
    assert norms[0] != norms[1] and norms[1] == pytest.approx(v.imagenet_stats[0])
    assert torch.equal(b.get_preds(dl=dls.test_dl(files))[0], b.get_preds(dl=b.dls.test_dl(files))[0])
    with ThreadPoolExecutor(4) as pool: # both at once, each in its own way
        got = list(pool.map(lambda i: (a, b)[i % 2].get_preds(dl=dls.test_dl(files))[0], range(12)))
    assert all(torch.equal(p, got[i % 2]) for i, p in enumerate(got)) and torch.equal(got[0], said)


def test_other_classes_handed_over(folder, tmp_path):
    learn = picture_learner(pictures(folder))
    for name in ('train', 'valid'):
        for cls in ('zebra', *colours[:2]):
            (tmp_path/name/cls).mkdir(parents=True)
            for i in range(4): Image.new('RGB', (32, 32)).save(tmp_path/name/cls/f'{i}.png')
    with pytest.raises(ValueError, match="'green' .*is number 1 for this learner, and 0 in the new"): learn.dls = pictures(tmp_path)
    df = pd.DataFrame({'a': np.arange(40.), 'b': list('wxyz') * 10, 'y': np.arange(40.)})
    make = lambda df: t.TabularDataLoaders.from_df(df, procs=[t.Categorify, t.Normalize], cat_names=['b'], cont_names=['a'], y_names='y', bs=8, valid_idx=[0])
    learn = quiet(t.tabular_learner(make(df), layers=[4]))
    with pytest.raises(ValueError, match="is number"): learn.dls = make(df[df.b != 'w'])


def test_labellers_come_along(folder, tmp_path):
    files = v.get_image_files(folder)
    named = tmp_path/'named'; named.mkdir()
    for f in files: Image.open(f).save(named/f'{f.parent.name}_{f.name}')
    names = v.get_image_files(named)
    for how in (lambda: pictures(folder), lambda: v.ImageDataLoaders.from_name_re(named, names, r'(.+)_\d+', item_tfms=v.Resize(24), bs=8),
                lambda: v.ImageDataLoaders.from_path_func(named, names, v.RegexLabeller(r'/([a-z]+)_\d+.png'), item_tfms=v.Resize(24), bs=8)):
        learn = picture_learner(how(), metrics=v.accuracy)
        new = quiet(load_learner(learn.export(tmp_path/'m.pkl')))
        some = list(learn.dls.train_ds.items) + list(learn.dls.valid_ds.items)
        assert list(new.validate(dl=new.dls.test_dl(some, with_labels=True))) == list(learn.validate(dl=learn.dls.test_dl(some, with_labels=True)))
    def first_word(name): return name.split('_')[0]
    learn = picture_learner(v.ImageDataLoaders.from_name_func(named, names, first_word, item_tfms=v.Resize(24), bs=8))
    new = load_learner(learn.export(tmp_path/'m.pkl'))
    assert new.predict(names[0])[0] == learn.predict(names[0])[0]
    with pytest.raises(ValueError, match='first_word'): new.dls.test_dl(names, with_labels=True).one_batch()


def test_an_input_that_changes_its_item_is_not_left_out(folder, tmp_path):
    def cropped(f): return v.PILImage.create(Image.open(f).crop((0, 0, 8, 8)))
    block = v.DataBlock((v.ImageBlock, v.CategoryBlock), get_items=v.get_image_files, get_x=cropped, get_y=v.parent_label, item_tfms=v.Resize(24))
    with pytest.raises(TypeError, match='cropped'): picture_learner(block.dataloaders(folder, bs=8)).export(tmp_path/'m.pkl')


def test_own_augmentation_stays_behind(folder, tmp_path, capsys):
    learn = picture_learner(pictures(folder, item_tfms=[v.Resize(24), Cutout]))
    new = load_learner(learn.export(tmp_path/'m.pkl'))
    assert 'only training needs it: Cutout' in capsys.readouterr().out
    f = v.get_image_files(folder)[0]
    assert torch.equal(new.predict(f)[2], learn.predict(f)[2])


def focal(p, y): return ((1 - p.softmax(1).gather(1, y[:, None])[:, 0])**2 * F.cross_entropy(p, y, reduction='none')).mean()


@pytest.mark.parametrize('loss', [nn.CrossEntropyLoss(weight=torch.tensor([1., 2., 1.])), F.cross_entropy, focal])
def test_plain_losses_of_pictures(loss, folder, tmp_path):
    import matplotlib.pyplot as plt
    learn = picture_learner(pictures(folder), loss_func=loss, metrics=v.accuracy)
    learn.fit(1)
    f = v.get_image_files(folder)[3]
    name, i, p = learn.predict(f)
    assert p.sum().item() == pytest.approx(1) and i == p.argmax() and name == learn.dls.vocab[i]
    preds, targs, decided = learn.get_preds(with_decoded=True)
    assert torch.allclose(preds.sum(1), torch.ones(len(preds))) and torch.equal(decided, preds.argmax(1))
    learn.show_results(); plt.close('all')
    new = load_learner(learn.export(tmp_path/'m.pkl'))
    assert torch.allclose(new.predict(f)[2], p)


def test_plain_losses_of_other_kinds(folder, tmp_path):
    files = v.get_image_files(folder)
    df = pd.DataFrame({'f': [str(f) for f in files], 'tags': [f'{f.parent.name} bright' if int(f.stem) > 30 else f.parent.name for f in files]})
    tags = v.ImageDataLoaders.from_df(df, '/', label_delim=' ', item_tfms=v.Resize(24), bs=8)
    learn = picture_learner(tags, loss_func=nn.BCEWithLogitsLoss())
    learn.fit(1)
    named, which, p = learn.predict(files[0])
    assert set(named) == {tags.vocab[i] for i in (p > .5).nonzero().flatten()}
    df = pd.DataFrame({'a': np.arange(40.), 'y': list('nm') * 20})
    make = lambda **kw: t.TabularDataLoaders.from_df(df, procs=[t.Normalize], cont_names=['a'], bs=8, **kw)
    for loss in (F.cross_entropy, nn.CrossEntropyLoss(), lambda p, y: F.cross_entropy(p, y)):
        learn = quiet(t.tabular_learner(make(y_names='y'), layers=[4], loss_func=loss))
        learn.fit(1)
        row, i, p = learn.predict(df.iloc[0])
        assert p.sum().item() == pytest.approx(1) and i == p.argmax()
    learn = quiet(t.tabular_learner(make(y_names='y'), layers=[4], n_out=1, loss_func=lambda p, y: F.binary_cross_entropy_with_logits(p[:, 0], y.float())))
    learn.fit(1)
    with pytest.raises(ValueError, match='does not say what outputs'): learn.predict(df.iloc[0])


own_module = '''
import torch
from torch import nn
class Block(nn.Module):
    def __init__(self, n, act=nn.functional.gelu):
        super().__init__()
        self.conv, self.act, self.scale = nn.Conv2d(n, n, 3, padding=1), act, nn.Parameter(torch.ones(1, n, 1, 1))
        self.register_buffer('grid', torch.arange(4.), persistent=False)
    def forward(self, x): return x + self.act(self.conv(x)) * self.scale + self.grid.sum()
class Net(nn.Module):
    def __init__(self, n, depth, n_out):
        super().__init__()
        self.stem, self.blocks, self.head = nn.Conv2d(3, n, 3), nn.ModuleList(Block(n) for _ in range(depth)), nn.Linear(n, n_out)
        self.mean = (0, 1)
    def forward(self, x):
        x = self.stem(x)
        for b in self.blocks: x = b(x)
        return self.head(x.mean((2, 3)))
'''


def test_a_model_of_ones_own_module(folder, tmp_path, monkeypatch):
    (tmp_path/'own_nets_here.py').write_text(own_module)
    monkeypatch.syspath_prepend(tmp_path)
    import own_nets_here
    learn = quiet(Learner(pictures(folder), own_nets_here.Net(6, 2, 3), F.cross_entropy))
    learn.fit(1)
    learn.model.head = nn.Sequential(nn.Dropout(.2), nn.Linear(6, 3))
    file, f = learn.export(tmp_path/'m.pkl'), v.get_image_files(folder)[0]
    assert torch.equal(load_learner(file).predict(f)[2], learn.predict(f)[2])
    del sys.modules['own_nets_here']
    with pytest.raises(ValueError, match='import own_nets_here before loading'): load_learner(file)
    assert 'own_nets_here' not in sys.modules # a file imports nothing


def test_forged_trees(folder, tmp_path, monkeypatch, capsys):
    "A model written down as it stands, with parts exchanged: it loads what it may, or is refused by name."
    import copy
    from course_lib.learner_io import read_tensors, write_tensors
    (tmp_path/'own_nets_there.py').write_text(own_module)
    monkeypatch.syspath_prepend(tmp_path)
    import own_nets_there
    learn = quiet(Learner(pictures(folder), own_nets_there.Net(4, 1, 3), F.cross_entropy))
    tensors, note = read_tensors(learn.export(tmp_path/'good.pkl'))
    rng, how = random.Random(0), {'loaded': 0, 'refused': 0}
    odd = ['os:system', 'subprocess:Popen', 'torch.nn.modules.linear:Linear', '__main__:Net', {'$use': 'os:system'}, {'$use': 'torch:load'}, {'$partial': [1, [], {}]},
           {'$partial': [{'$use': 'torch.nn.functional:relu'}, 7, 7]}, {'$ref': 'parent_label'}, None, 7, -1, 10**12, 'x' * 50, [], {}, [[]], True, {'$tree': 'x'}]
    def places(o):
        for k, v in o.items() if isinstance(o, dict) else enumerate(o) if isinstance(o, list) else ():
            yield o, k
            yield from places(v)
    for _ in range(120):
        forged = copy.deepcopy(note)
        where, k = rng.choice(list(places(forged['model'])))
        where[k] = rng.choice(odd)
        file = write_tensors(tmp_path/'forged.pkl', tensors, forged)
        try:
            load_learner(file)
            how['loaded'] += 1
        except ValueError as e:
            assert 'forged.pkl' in str(e)
            how['refused'] += 1
    assert how['refused'] > 60, how


def test_pictures_in_memory_that_are_written_into(folder):
    arrays = v.L(np.full((8, 8, 3), 10 * i, np.uint8) for i in range(1, 9))
    block = v.DataBlock((v.ImageBlock, v.CategoryBlock), get_y=lambda a: int(a[0, 0, 0]) > 40, splitter=v.IndexSplitter([0]))
    dls = block.dataloaders(arrays, bs=7, shuffle=False)
    for _ in range(2): assert (dls.train.one_batch()[0][:, 0, 0, 0] * 255).round().tolist() == [20, 30, 40, 50, 60, 70, 80]
    dls.train.items[2][:] = 200
    assert (dls.train.one_batch()[0][:, 0, 0, 0] * 255).round().tolist() == [20, 30, 200, 50, 60, 70, 80]


def test_a_small_cache_holds_what_it_says(folder):
    files = v.get_image_files(folder)
    dls = pictures(folder, item_tfms=v.RandomCrop(24), bs=45)
    list(dls.train)
    store = dls.train._store
    from course_lib.data.load import held_bytes
    assert store.nbytes == sum(held_bytes(o[1]) for o in store.items.values()) >= len(dls.train_ds) * 32 * 40 * 3
    store.limit = store.nbytes // 2
    for i in list(store.items): store.drop(i)
    assert store.nbytes == 0
    list(dls.train)
    assert 0 < store.nbytes <= store.limit and len(store) < 45


def test_two_that_save_under_one_name(folder, tmp_path):
    a, b = (picture_learner(pictures(folder), path=tmp_path) for _ in range(2))
    for p in b.model.parameters(): p.data.add_(1.)
    mask = os.umask(0o022); os.umask(mask)
    with ThreadPoolExecutor(2) as pool: list(pool.map(lambda learn: [learn.save('same') for _ in range(15)] + [learn.export('same.pkl') for _ in range(5)], [a, b]))
    now = os.umask(mask); os.umask(now)
    assert now == mask and sorted(p.name for p in (tmp_path/'models').iterdir()) == ['same.safetensors']
    assert (tmp_path/'models/same.safetensors').stat().st_mode & 0o777 == 0o666 & ~mask
    got = picture_learner(pictures(folder), path=tmp_path).load('same').model.state_dict()
    assert any(all(torch.equal(got[k], t) for k, t in o.model.state_dict().items()) for o in (a, b))
    load_learner(tmp_path/'same.pkl')
