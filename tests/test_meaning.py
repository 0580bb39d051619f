"""What labels, numbers, masks and decisions mean is read from all of them and their type; callbacks and averages keep their word.

Inputs of our own for each kind; the chapters show the same in small."""
import copy, gc, pickle, weakref
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

pd = pytest.importorskip('pandas')
import course_lib.vision.all as v
from course_lib.callback.core import Callback, CancelEpochException, CancelValidException
from course_lib.callback.progress import CSVLogger, ProgressCallback, Recorder, Scores
from course_lib.callback.snapshot import SWA
from course_lib.callback.tracker import CheckpointCallback, EarlyStoppingCallback, ReduceLROnPlateau, SaveModelCallback
from course_lib.interpret import ClassificationInterpretation, Interpretation
from course_lib.learner import Learner
from course_lib.learner_io import load_learner
from course_lib.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, FocalLossFlat, LabelSmoothingCrossEntropy
from course_lib.metrics import F1Score, LogLoss, accuracy, error_rate
from course_lib.tabular.all import Categorify, Normalize, TabularDataLoaders, tabular_learner


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    import matplotlib.pyplot as plt
    plt.close('all')


def learner(path='.', classes=2, **kwargs):
    torch.manual_seed(0)
    data = [(torch.randn(8, 4), torch.randint(0, classes, (8,))) for _ in range(3)]
    return Learner(v.DataLoaders(data, data), nn.Linear(4, classes), path=path, **{'loss_func': CrossEntropyLossFlat(), **kwargs})


def fit(learn, n=1, **kwargs):
    with learn.no_logging(), learn.no_bar(): learn.fit(n, **kwargs)
    return learn


# ------------------------------------------------------------------------------------------------------------ callbacks
@pytest.mark.parametrize('name', 'Lr Wd Path Model Dls Moms LossFunc Cbs Pred Loss Dl NIter LossGrad Opt Metrics Splitter ModelDir Groups StartEpoch'.split())
def test_names_of_the_learner_are_taken(name):
    cb, learn = type(name, (Callback,), {'before_batch': lambda self: None}), learner()
    kept = 'model dls lr path loss_func'.split()
    before = [getattr(learn, k) for k in kept]
    with pytest.raises(ValueError, match='rename it'): learn.fit(1, cbs=cb)
    assert all(getattr(learn, k) is o for k, o in zip(kept, before))
    fit(learn)


def test_a_callback_of_two_learners_works_for_the_one_that_trains(tmp_path):
    cb = SaveModelCallback()
    a, b = learner(tmp_path/'a', cbs=cb), learner(tmp_path/'b', cbs=cb)
    fit(a)
    assert (tmp_path/'a'/'models').is_dir() and not (tmp_path/'b').exists()
    fit(b)
    assert (tmp_path/'b'/'models').is_dir()


@pytest.mark.parametrize('cbs', [ProgressCallback, [ProgressCallback(), Recorder], [Scores(), Scores, Recorder()]])
def test_one_table(cbs, capsys, tmp_path):
    learn = learner(tmp_path)
    with learn.no_bar(): learn.fit(1, cbs=cbs)
    assert capsys.readouterr().out.count('train_loss') == 1
    n = len(learn.cbs)
    learn.add_cbs(cbs)
    assert len(learn.cbs) == n and learn.validate()[0] > 0


def test_settings_of_watchers_have_their_usual_values_without_our_init(tmp_path):
    for kind in (EarlyStoppingCallback, SaveModelCallback, ReduceLROnPlateau, CheckpointCallback, CSVLogger, SWA, v.MixUp, v.GradientClip):
        own = type(f'Own{kind.__name__}', (kind,), {'__init__': lambda self: None})
        fit(learner(tmp_path), 2, cbs=own())


@pytest.mark.parametrize('event, error, epochs', [('before_validate', CancelValidException, 2), ('before_epoch', CancelEpochException, 0)])
def test_who_has_not_begun_does_not_end(event, error, epochs):
    def stop(self): raise error()
    skip = type('Skip', (Callback,), {'order': -100, event: stop})
    learn = fit(learner(metrics=accuracy, cbs=[EarlyStoppingCallback(patience=9)]), 2, cbs=skip)
    assert len(learn.recorder.values) == epochs and all(row[1:] == [None, None] for row in learn.recorder.values)


def test_freed_at_once_with_data_and_optimizer(tmp_path):
    def alive(make):
        learn = make()
        refs = [weakref.ref(o) for o in (learn, learn.model, learn.dls, learn.opt)]
        del learn
        return [r() is not None for r in refs]
    def long():
        learn = learner(tmp_path, metrics=[accuracy, F1Score(), LogLoss()],
                        cbs=[SaveModelCallback, EarlyStoppingCallback, CSVLogger, v.GradientClip, SWA(), CheckpointCallback()])
        with learn.no_logging(), learn.no_bar():
            learn.fit_one_cycle(1)
            learn.lr_find(show_plot=False)
            learn.get_preds()
        return learn
    def broken():
        class Boom(Callback):
            def after_batch(self): raise RuntimeError('a wire')
        learn = learner()
        with pytest.raises(RuntimeError, match='a wire'): fit(learn, cbs=Boom)
        return learn
    gc.collect()
    gc.disable()
    try: assert not any(alive(lambda: fit(learner())) + alive(long) + alive(broken))
    finally: gc.enable()


def test_copies_after_training_are_whole(tmp_path):
    learn = fit(learner(tmp_path, metrics=[accuracy, F1Score()], cbs=SaveModelCallback))
    for again in (copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))):
        twin, before = again(learn), learn.model.weight.detach().clone()
        assert twin.recorder.learn is twin and twin.opt.param_groups[0]['params'][0] is twin.model.weight
        twin.opt.set_hyper('lr', 0.3)
        assert twin.hypers[0]['lr'] == 0.3 != learn.hypers[0]['lr']
        fit(twin)
        assert torch.equal(before, learn.model.weight)


def test_a_cell_run_again_goes_on_a_script_run_again_begins_with_its_first_fit(tmp_path, capsys):
    class Stop(Callback):
        on, order = True, 70
        def after_batch(self):
            if self.on and self.training and self.epoch == 1 and self.n_epoch == 3: raise KeyboardInterrupt
    def script(learn):
        with learn.no_logging(), learn.no_bar():
            for n, lr in ((1, 1e-2), (3, 1e-3)): learn.fit(n, lr)
    straight = learner(tmp_path/'other')
    script(straight)
    for again in (lambda learn: fit(learn, 3, lr=1e-3), script): # the cell of the second fit; or both
        learn = learner(tmp_path, cbs=[CheckpointCallback(resume=True), Stop()])
        (tmp_path/'models'/'checkpoint.safetensors').unlink(missing_ok=True)
        script(learn)
        assert learn.interrupted
        learn.stop.on = False
        again(learn)
        assert len(learn.recorder.values) == 3 and torch.equal(learn.model.weight, straight.model.weight)
        assert 'begins anew' not in capsys.readouterr().out
    script(learn) # all done: the next run of the script is a new one, and the file knows the last fit
    learn.stop.on = True
    fit(learn, 3, lr=1e-3)
    learn.stop.on = False
    fit(learn, 3, lr=5e-3)
    assert 'begins anew' in capsys.readouterr().out and len(learn.recorder.values) == 3


def test_nowhere_to_write_is_said_before_the_first_epoch(tmp_path):
    (tmp_path/'file').touch()
    for do in (lambda o: o.save('m'), lambda o: o.export('m.pkl'), lambda o: o.fit(1, cbs=SaveModelCallback), lambda o: o.fit(1, cbs=CheckpointCallback),
               lambda o: o.fit(1, cbs=CSVLogger), lambda o: o.fit_sgdr(1, 1e-3, cycle_save='a')):
        learn = learner(tmp_path/'file')
        with pytest.raises(OSError, match='learn.path ='): do(learn)
        assert learn.train_iter == 0


# ------------------------------------------------------------------------------------------------------ NaN, and nothing
def test_a_batch_without_a_counted_target_weighs_nothing():
    torch.manual_seed(1)
    net = nn.Conv2d(3, 3, 1)
    some, none = (torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))), (torch.randn(2, 3, 4, 4), torch.full((2, 4, 4), 255))
    some[1][:, :3] = 255
    for loss_func in (CrossEntropyLossFlat(axis=1, ignore_index=255), CrossEntropyLossFlat(axis=1, ignore_index=255, weight=[1, 2, 3])):
        data, alone = v.DataLoaders([none, some, none], [none, some, none]), v.DataLoaders([some], [some])
        a, b = (Learner(d, copy.deepcopy(net), loss_func=loss_func, metrics=[partial(accuracy, axis=1)], lr=1e-9) for d in (data, alone))
        fit(a), fit(b)
        assert np.allclose(a.recorder.values, b.recorder.values, atol=1e-5), (a.recorder.values, b.recorder.values)
        losses = a.get_preds(with_loss=True)[-1]
        assert losses[:2].sum() == 0 and torch.isfinite(losses).all()


@pytest.mark.parametrize('loss', [CrossEntropyLossFlat, FocalLossFlat, LabelSmoothingCrossEntropy])
def test_weights_in_any_dress(loss):
    pred, targ = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    right = loss(weight=torch.tensor([0.5, 3.]))(pred, targ)
    for w in ([0.5, 3], (0.5, 3.), np.array([0.5, 3.]), torch.tensor([0.5, 3.], dtype=torch.float64), pd.Series([0.5, 3.])):
        assert torch.allclose(loss(weight=w)(pred, targ), right)
    for w in ({'a': 1, 'b': 2}, pd.Series([3., 1.], ['b', 'a']), [1., float('inf')], [-1., 1.]):
        with pytest.raises(ValueError, match='weight'): loss(weight=w)
    with pytest.raises(ValueError, match='3 weights for 2 classes'): loss(weight=[1, 1, 1])(pred, targ)


# ----------------------------------------------------------------------------------------------- decisions and their type
@pytest.fixture(scope='module')
def files(tmp_path_factory):
    d, rng = tmp_path_factory.mktemp('pictures'), np.random.default_rng(0)
    for i in range(24):
        v.Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(d/f'{"ab"[i % 2]}_{i:02}.png')
    return v.get_image_files(d)


def letter(f): return f.name[0]
def corners(f): return [[10., 20.], [50., 30.]]
def half(f): return np.repeat(np.array([[0], [1]], np.uint8), (20, 20), 0).repeat(60, 1)
def size(f): return f.stat().st_size / 1000


def plan(block, get_y, files): return v.DataBlock((v.ImageBlock, block), get_y=get_y, item_tfms=v.Resize(32, 'squish')).dataloaders(files, bs=6)


def test_points_come_back_in_pixels(files, tmp_path):
    learn = fit(Learner(plan(v.PointBlock, corners, files), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)), path=tmp_path))
    with torch.no_grad():
        learn.model[2].weight.zero_()
        learn.model[2].bias.copy_(torch.tensor([-1., -1., 0., 1.]))
    for o in (learn, load_learner(learn.export('points.pkl'))):
        said, scaled, numbers = o.predict(files[0])
        assert type(said) is v.TensorPoint and said.tolist() == [[0, 0], [16, 32]]
        assert type(scaled) is v.TensorPoint and numbers.tolist() == [-1, -1, 0, 1]
    learn.show_results(max_n=2)
    import matplotlib.pyplot as plt
    assert [len(ax.collections) for ax in plt.gcf().axes] == [1, 1, 1, 1]
    Interpretation.from_learner(learn).plot_top_losses(2)
    assert [len(ax.collections) for ax in plt.gcf().axes] == [1, 1, 1, 1]
    learn.show_results(dl=learn.dls.test_dl(files), max_n=2)
    assert [len(ax.collections) for ax in plt.gcf().axes] == [1, 1]


@pytest.mark.parametrize('n_out, loss', [(2, None), (1, BCEWithLogitsLossFlat())])
def test_masks_come_back_as_masks(n_out, loss, files, tmp_path):
    learn = Learner(plan(v.MaskBlock(['sky', 'sea']), half, files), nn.Sequential(nn.Conv2d(3, n_out, 1)), loss_func=loss, path=tmp_path)
    if n_out == 2: fit(learn)
    for o in (learn, load_learner(learn.export('masks.pkl'))):
        said, numbers, _ = o.predict(files[0])
        assert type(said) is type(numbers) is v.TensorMask and said.shape == (32, 32) and said.dtype == torch.int64
    if n_out == 2: learn.show_results(max_n=2)


def test_numbers_come_back_as_numbers(files, tmp_path):
    learn = fit(Learner(plan(v.RegressionBlock, size, files), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1)), path=tmp_path))
    for o in (learn, load_learner(learn.export('numbers.pkl'))): assert type(o.predict(files[0])[0]) is float
    learn.show_results(max_n=4)


def test_one_output_is_a_decision_at_a_half(files, tmp_path):
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    learn = fit(Learner(plan(v.CategoryBlock, letter, files), net, loss_func=BCEWithLogitsLossFlat(), metrics=[accuracy, error_rate], path=tmp_path))
    probs, targs, decided = learn.get_preds(with_decoded=True)
    assert decided.shape == targs.shape and torch.equal(decided == 1, (probs > 0.5).reshape(-1))
    share = (decided == targs).float().mean().item()
    assert learn.recorder.values[-1][2:] == pytest.approx([share, 1 - share])
    interp = ClassificationInterpretation.from_learner(learn)
    assert interp.right.float().mean().item() == pytest.approx(share) and (interp.sureness >= 0.5).all()
    loaded = load_learner(learn.export('one.pkl'))
    assert [loaded.predict(f)[0] for f in files[:6]] == [learn.predict(f)[0] for f in files[:6]] and loaded.predict(files[0])[0] in 'ab'


# ---------------------------------------------------------------------------------------------------- labels and pictures
labels = dict(
    names=(['x', 'y'] * 12, 'CrossEntropyLoss'), whole=(np.arange(24) % 3, 'CrossEntropyLoss'), yes=(np.arange(24) % 2 == 0, 'CrossEntropyLoss'),
    scalars=([torch.tensor(i % 3) for i in range(24)], 'CrossEntropyLoss'), kinds=(pd.Categorical([1.5, 2.5] * 12), 'CrossEntropyLoss'),
    fractions=(np.arange(24) / 7, 'MSELoss'), half=((np.arange(24) / 7).astype(np.float16), 'MSELoss'), mixed=([1, 2.5] * 12, 'MSELoss'),
    pairs=(np.random.rand(24, 2), 'MSELoss'), lists=([[0.5, 1.]] * 24, 'MSELoss'), nullable=(pd.Series(np.arange(24) / 7, dtype='Float64'), 'MSELoss'),
    tags=([['a'], ['a', 'b'], []] * 8, 'BCEWithLogitsLoss'), ids=([[3], [3, 7]] * 12, 'BCEWithLogitsLoss'))


@pytest.mark.parametrize('kind', labels)
def test_labels_mean_what_all_of_them_say(kind, files):
    given, loss = labels[kind]
    if kind == 'kinds': given = pd.Series(given)
    dls = v.ImageDataLoaders.from_lists('.', files, given, item_tfms=v.Resize(16), bs=4, seed=0)
    assert type(dls.loss_func.func).__name__ == loss
    if kind in ('scalars', 'whole'): assert list(dls.vocab) == [0, 1, 2]


@pytest.mark.parametrize('given', [[[0, 1]] * 24, np.eye(2)[np.arange(24) % 2], [[10, 20]] * 24, torch.ones(24, 3, dtype=torch.long)])
def test_labels_that_could_mean_two_things_are_asked_about(given, files):
    with pytest.raises(ValueError, match='y_block=MultiCategoryBlock|MultiCategoryBlock if'): v.ImageDataLoaders.from_lists('.', files, given, item_tfms=v.Resize(16), bs=4)


@pytest.mark.parametrize('gap', [np.nan, None, pd.NA])
def test_gaps_are_called_gaps(gap, files):
    for y, block in ((['a', 'b'] * 12, v.CategoryBlock), ([['a']] * 24, v.MultiCategoryBlock), ([1.5] * 24, v.RegressionBlock)):
        for at, part in ((5, 'training'), (23, 'validation')):
            values = list(y)
            values[at] = gap
            with pytest.raises(ValueError, match=f'1 {part} (item has no label|target.s. are missing)') as e:
                v.DataBlock((v.ImageBlock, block), get_x=v.ItemGetter(0), get_y=v.ItemGetter(1), splitter=v.IndexSplitter(range(20, 24))).datasets(v.L(zip(files, values)))
            assert str(at) in str(e.value)


def test_sound_files_are_not_called_broken(tmp_path, capsys):
    (tmp_path/'a.heic').write_bytes(b'\0\0\0\x1cftypmif1\0\0\0\0mif1heic' + bytes(99))
    (tmp_path/'b.avif').write_bytes(b'\0\0\0\x1cftypavif\0\0\0\0' + bytes(99))
    v.Image.fromarray(np.array([[-500, 2000]], np.int32)).save(tmp_path/'c.tiff')
    (tmp_path/'d.png').write_bytes(b'')
    # Pillow may know AVIF, and then this one is broken
    assert [f.name for f in v.verify_images(sorted(tmp_path.iterdir())) if f.suffix != '.avif'] == ['d.png']
    assert 'sound' in capsys.readouterr().out
    with pytest.raises(ValueError) as e: v.PILImage.create(tmp_path/'a.heic')
    assert 'pillow-heif' in str(e.value) and 'unlink' not in str(e.value)


def test_masks_keep_their_numbers(tmp_path):
    a = np.array([[0, 1], [2, 255]], np.uint8)
    v.Image.fromarray(a).save(tmp_path/'m.png')
    v.Image.fromarray(a).save(tmp_path/'m.jpg')
    assert np.array_equal(v.PILMask.create(tmp_path/'m.png'), a)
    for lazy in (False, True):
        with pytest.raises(ValueError, match='masks are kept as PNG') as e: v.PILMask.create(tmp_path/'m.jpg', lazy=lazy)
        assert 'unlink' not in str(e.value)


def test_a_declared_range_travels_with_the_data(tmp_path):
    class Scan(v.PILImageBW): value_range = -1000, 3000
    for i in range(8): v.Image.fromarray(np.full((8, 8), -1000 + 500 * i, np.int32)).save(tmp_path/f'{"ab"[i % 2]}{i}.tiff')
    files = v.get_image_files(tmp_path)
    dls = v.ImageDataLoaders.from_name_func(tmp_path, files, letter_of, img_cls=Scan, bs=4, valid_pct=0.5, seed=0)
    found = sorted(x.unique().item() for dl in dls for b in dl for x in b[0])
    assert np.allclose(found, [i * 500 / 4000 for i in range(8)], atol=2e-3)


def letter_of(name): return name[0]


# ------------------------------------------------------------------------------------------------------------------ tables
def test_losses_written_for_fastais_tables():
    df = pd.DataFrame(dict(x=np.arange(80.), y=['a', 'b'] * 40))
    dls = TabularDataLoaders.from_df(df, procs=[Categorify, Normalize], cont_names=['x'], y_names='y', bs=16)
    def own(pred, y): return nn.functional.cross_entropy(pred, y.squeeze(1))
    def column(pred, y): return nn.functional.cross_entropy(pred, y[:, 0])
    fit(tabular_learner(dls, loss_func=own, metrics=accuracy))
    with pytest.raises(ValueError, match='one dimension here'): fit(tabular_learner(dls, loss_func=column))


def test_accuracy_of_a_target_of_0_and_1():
    df = pd.DataFrame(dict(x=np.arange(200.), y=(np.arange(200) > 100).astype(int)))
    dls = TabularDataLoaders.from_df(df, procs=[Normalize], cont_names=['x'], y_names='y', bs=16, seed=0)
    learn = fit(tabular_learner(dls, metrics=[accuracy, error_rate]), 3, lr=1e-2)
    preds, targs = learn.get_preds()
    assert learn.validate()[1] == pytest.approx(((preds > 0.5) == targs).float().mean().item())


# files of labels

@pytest.mark.parametrize('labels', [['None', 'Apnea'], ['NA', 'EU'], ['n/a', 'x'], ['01', '02'], ['1', '2']])
def test_labels_of_a_file_keep_their_words(labels, tmp_path):
    "pandas takes some words for gaps, and drops leading zeros; classes are neither."
    import course_lib.tabular.all as t
    import course_lib.text.all as x
    rng = np.random.default_rng(0)
    for i in range(20): v.Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(tmp_path/f'{i:03}.png')
    df = pd.DataFrame(dict(name=[f'{i:03}' for i in range(20)], label=labels * 10, text=['a good film', 'a dull one'] * 10, x=range(20)))
    for sep in ',;':
        df.to_csv(tmp_path/'labels.csv', index=False, sep=sep)
        known = sorted(labels, key=str) if labels != ['1', '2'] else [1, 2]
        dls = v.ImageDataLoaders.from_csv(tmp_path, suff='.png', bs=4, seed=0, item_tfms=v.Resize(16))
        assert list(dls.vocab) == known and len(dls.train_ds) + len(dls.valid_ds) == 20
        dls = x.TextDataLoaders.from_csv(tmp_path, text_col='text', label_col='label', bs=4, seed=0)
        assert list(dls.vocab[1]) == known and len(dls.train_ds) + len(dls.valid_ds) == 20
        dls = t.TabularDataLoaders.from_csv(tmp_path/'labels.csv', cont_names=['x'], y_names='label', y_block=t.CategoryBlock, bs=4)
        assert list(dls.vocab) == ([1, 2] if labels[1] in ('2', '02') else known)


def test_missing_labels_of_a_file_are_still_missing(tmp_path):
    for i in range(8): v.Image.new('RGB', (16, 16)).save(tmp_path/f'{i}.png')
    (tmp_path/'labels.csv').write_text('name,label\n' + '\n'.join(f'{i},{("a", "b", "")[i % 3]}' for i in range(8)))
    with pytest.raises(ValueError, match='no label'): v.ImageDataLoaders.from_csv(tmp_path, suff='.png', bs=2, seed=0)
