"""Code as users of fastai v2 write it runs with only the import line changed.

Each snippet runs in a namespace of its own, after nothing but the star import, on a few drawn pictures."""
import matplotlib
import pytest

matplotlib.use('agg')


@pytest.fixture(scope='module')
def pets(tmp_path_factory):
    "Drawn pictures, once by folder and once by name: Cat_1.jpg, dog_1.jpg."
    from course_lib.data.samples import make_sample
    made = make_sample('dogscats', tmp_path_factory.mktemp('data')/'dogscats', n_train=48, n_valid=16, size=64)
    named = tmp_path_factory.mktemp('named')/'images'
    named.mkdir()
    for f in sorted((made/'train').rglob('*.jpg')):
        species, i = f.name.split('.')[:2]
        (named/f'{"Abyssinian" if species == "cat" else "beagle"}_{i}.jpg').write_bytes(f.read_bytes())
    return dict(folders=made, named=named)


@pytest.fixture(scope='module')
def tiles(tmp_path_factory):
    from course_lib.data.samples import make_sample
    return make_sample('planet', tmp_path_factory.mktemp('tiles')/'planet', n=80, size=64)


@pytest.fixture
def run(pets, tmp_path, monkeypatch):
    "Run a snippet in an empty folder; what it defines comes back."
    monkeypatch.chdir(tmp_path)
    def go(code):
        names = dict(path=pets['folders'], named=pets['named'], Path=None)
        exec('from course_lib.vision.all import *\nset_seed(42)', names)
        exec(code, names)
        names['plt'].close('all')
        return names
    return go


def test_three_lines(run):
    n = run('''
def is_cat(x): return x[0].isupper()
dls = ImageDataLoaders.from_name_func(named, get_image_files(named), valid_pct=0.2, seed=42, label_func=is_cat, item_tfms=Resize(32), bs=16)
learn = vision_learner(dls, resnet18, metrics=error_rate, pretrained=False)
learn.fine_tune(1)
img = PILImage.create(get_image_files(named)[0])
label, _, probs = learn.predict(img)
learn.path = Path()
learn.export('model.pkl')
inf = load_learner('model.pkl')
again = inf.predict(get_image_files(named)[0])
''')
    assert list(n['dls'].vocab) == [False, True] and len(n['probs']) == 2
    assert n['label'] in ('True', 'False') and n['again'][0] == n['label']
    assert n['again'][2].tolist() == pytest.approx(n['probs'].tolist(), abs=1e-2)   # two ways to decode a JPEG


def test_data_block_and_its_variations(run):
    n = run('''
pets = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=get_image_files, splitter=RandomSplitter(valid_pct=0.2, seed=42),
                 get_y=parent_label, item_tfms=Resize(48))
dls = pets.dataloaders(path, bs=16)
dls.valid.show_batch(max_n=4, nrows=1)
for tfm in (Resize(32, ResizeMethod.Squish), Resize(32, ResizeMethod.Pad, pad_mode='zeros'), RandomResizedCrop(32, min_scale=0.3)):
    dls = pets.new(item_tfms=tfm).dataloaders(path, bs=16)
    dls.train.show_batch(max_n=4, nrows=1, unique=True)
pets = pets.new(item_tfms=Resize(32), batch_tfms=aug_transforms(mult=2))
dls = pets.dataloaders(path, bs=16)
learn = vision_learner(dls, resnet18, metrics=error_rate, pretrained=False)
learn.fine_tune(1)
interp = ClassificationInterpretation.from_learner(learn)
interp.plot_confusion_matrix()
interp.plot_top_losses(3, nrows=1)
confused = interp.most_confused(min_val=1)
''')
    assert n['dls'].one_batch()[0].shape == (16, 3, 32, 32)
    assert all(len(c) == 3 for c in n['confused'])
    assert n['pets'].item_tfms[0] == n['Resize'](32)


def test_names_by_regular_expression_and_the_rate_finder(run):
    n = run('''
pets = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=get_image_files, splitter=RandomSplitter(seed=42),
                 get_y=using_attr(RegexLabeller(r'(.+)_\\d+.jpg$'), 'name'),
                 item_tfms=Resize(64), batch_tfms=aug_transforms(size=32, min_scale=0.75))
pets.summary(named)
dls = pets.dataloaders(named, bs=16)
x, y = dls.one_batch()
learn = vision_learner(dls, resnet18, metrics=error_rate, pretrained=False)
preds, targs = learn.get_preds(dl=[(x, y)])
lr_min, lr_steep = learn.lr_find(suggest_funcs=(minimum, steep), num_it=20)
learn.fit_one_cycle(1, 3e-3)
learn.unfreeze()
learn.fit_one_cycle(1, lr_max=slice(1e-6, 1e-4))
learn.recorder.plot_loss()
learn.recorder.plot_sched()
''')
    assert n['preds'].sum(1).tolist() == pytest.approx([1.] * 16, abs=1e-4)
    assert 0 < n['lr_min'] < 10 and 0 < n['lr_steep'] <= 10
    assert len(n['learn'].recorder.values[-1]) == 3


def test_several_labels_from_a_table(run):
    n = run('''
files = get_image_files(named)
df = pd.DataFrame({'fname': [f.name for f in files], 'labels': ['pet ' + ('cat' if f.name[0].isupper() else 'dog') for f in files],
                   'is_valid': [i % 4 == 0 for i in range(len(files))]})
def get_x(r): return named/r['fname']
def get_y(r): return r['labels'].split(' ')
def splitter(df):
    train = df.index[~df['is_valid']].tolist()
    valid = df.index[df['is_valid']].tolist()
    return train, valid
dblock = DataBlock(blocks=(ImageBlock, MultiCategoryBlock), splitter=splitter, get_x=get_x, get_y=get_y,
                   item_tfms=RandomResizedCrop(32, min_scale=0.35))
dsets = dblock.datasets(df)
item = dsets.train[0]
dls = dblock.dataloaders(df, bs=16)
dls.show_batch(nrows=1, ncols=3)
learn = vision_learner(dls, resnet18, metrics=partial(accuracy_multi, thresh=0.2), pretrained=False)
learn.fine_tune(1, base_lr=3e-3, freeze_epochs=1)
learn.metrics = partial(accuracy_multi, thresh=0.1)
scores = learn.validate()
preds, targs = learn.get_preds()
acc = accuracy_multi(preds, targs, thresh=0.9, sigmoid=False)
said = learn.predict(named/df.fname[0])
''')
    assert list(n['dls'].vocab) == ['cat', 'dog', 'pet'] and n['item'][1].tolist()[2] == 1
    assert len(n['scores']) == 2 and 0 <= n['acc'] <= 1 and len(n['said'][2]) == 3
    assert 'BCEWithLogits' in repr(n['dls'].loss_func)


def test_progressive_resizing_and_tta(run):
    n = run('''
dblock = DataBlock(blocks=(ImageBlock(), CategoryBlock()), get_items=get_image_files, splitter=GrandparentSplitter(), get_y=parent_label)
def get_dls(bs, size):
    return dblock.new(item_tfms=Resize(64), batch_tfms=[*aug_transforms(size=size, min_scale=0.75),
                      Normalize.from_stats(*imagenet_stats)]).dataloaders(path, bs=bs)
dls = get_dls(16, 24)
learn = Learner(dls, resnet18(num_classes=2), loss_func=CrossEntropyLossFlat(), metrics=accuracy)
learn.fit_one_cycle(1, 3e-3)
learn.dls = get_dls(8, 32)
learn.fine_tune(1, 1e-3)
preds, targs = learn.tta()
acc = accuracy(preds, targs).item()
x, y = learn.dls.one_batch()
''')
    assert n['x'].shape[-2:] == (32, 32) and n['preds'].shape == (len(n['learn'].dls.valid_ds), 2) and 0 <= n['acc'] <= 1


def test_plain_loaders_functions_and_sgd(run):
    n = run('''
train_x = torch.randn(200, 4)
train_y = (train_x.sum(1) > 0).float()[:, None]
dl = DataLoader(list(zip(train_x, train_y)), batch_size=50)
xb, yb = first(dl)
def loss_fn(preds, targets):
    preds = preds.sigmoid()
    return torch.where(targets == 1, 1 - preds, preds).mean()
def batch_accuracy(xb, yb): return ((xb > 0).float() == yb).float().mean()
dls = DataLoaders(dl, DataLoader(list(zip(train_x, train_y)), batch_size=50))
learn = Learner(dls, nn.Linear(4, 1), opt_func=SGD, loss_func=loss_fn, metrics=batch_accuracy)
learn.fit(10, lr=1.)
curve = L(learn.recorder.values).itemgot(2)
w, b = learn.model.parameters()
''')
    assert n['xb'].shape == (50, 4) and len(n['curve']) == 10 and n['curve'][-1] > 0.9
    assert n['learn'].recorder.metric_names[:4] == ['epoch', 'train_loss', 'valid_loss', 'batch_accuracy']


def test_own_optimizer_and_callback(run):
    n = run('''
class ModelReset(Callback):
    def before_train(self): self.learn.resets = getattr(self.learn, 'resets', 0) + 1
    def before_validate(self): self.learn.resets += 1
def average_grad(p, mom, grad_avg=None, **kwargs):
    if grad_avg is None: grad_avg = torch.zeros_like(p.grad.data)
    return {'grad_avg': grad_avg*mom + p.grad.data}
def momentum_step(p, lr, grad_avg, **kwargs): p.data.add_(grad_avg, alpha=-lr)
opt_func = partial(Optimizer, cbs=[average_grad, momentum_step], mom=0.9)
x = torch.randn(64, 3)
dls = DataLoaders(*[DataLoader(TensorDataset(x, x @ torch.tensor([[1.], [2.], [3.]])), bs=16) for _ in range(2)])
learn = Learner(dls, nn.Linear(3, 1), loss_func=F.mse_loss, opt_func=opt_func, cbs=[ModelReset])
learn.fit_one_cycle(8, 0.03)
final = learn.recorder.values[-1][1]
''')
    assert n['final'] < 0.5 and n['learn'].resets == 16


def test_pairs_of_pictures(run):
    n = run('''
files = get_image_files(path/'train')
class ImageTuple(fastuple):
    @classmethod
    def create(cls, fns): return cls(tuple(PILImage.create(f) for f in fns))
class PairTransform(Transform):
    def __init__(self, files): self.files = files
    def encodes(self, f):
        other = random.choice(self.files)
        return ImageTuple.create((f, other)), torch.tensor(float(parent_label(f) == parent_label(other)))
tls = TfmdLists(files, PairTransform(files), splits=RandomSplitter(seed=1)(files))
dls = tls.dataloaders(after_item=[Resize(32), ToTensor], after_batch=[IntToFloatTensor, Normalize.from_stats(*imagenet_stats)], bs=8)
(a, b), same = dls.one_batch()
''')
    assert n['a'].shape == n['b'].shape == (8, 3, 32, 32) and n['same'].shape == (8,)
    assert n['a'].dtype.is_floating_point and n['a'].min() < 0


def test_saving_on_the_way(run):
    n = run('''
dls = ImageDataLoaders.from_folder(path, item_tfms=Resize(32), bs=16)
learn = vision_learner(dls, resnet18, metrics=[accuracy], pretrained=False,
                       cbs=[SaveModelCallback(monitor='accuracy'), EarlyStoppingCallback(patience=3)], path='.')
learn.fit(2, 1e-3)
learn.save('two')
learn = learn.load('two')
with learn.no_bar(), learn.no_logging(): learn.to_fp16().fit(1)
learn.show_results(max_n=3)
test = learn.dls.test_dl(get_image_files(path/'valid')[:5])
preds, none, decided = learn.get_preds(dl=test, with_decoded=True)
text = learn.summary()
''')
    assert n['preds'].shape == (5, 2) and n['none'] is None and n['decided'].shape == (5,)
    assert 'BatchNorm2d' in str(n['text'])


def test_fine_tune_the_valley_tta_and_interpretation(run):
    n = run('''
dls = ImageDataLoaders.from_folder(path, item_tfms=Resize(48), batch_tfms=aug_transforms(size=32, min_scale=0.75), bs=16)
learn = vision_learner(dls, resnet18, metrics=[accuracy, error_rate], pretrained=False)
lr = learn.lr_find(num_it=20).valley
learn.fine_tune(1, base_lr=lr, freeze_epochs=1)
preds, targs = learn.tta(n=2)
err = error_rate(preds, targs).item()
plain, _ = learn.get_preds()
interp = ClassificationInterpretation.from_learner(learn)
losses, idxs = interp.top_losses(4)
matrix = interp.confusion_matrix()
interp.print_classification_report()
interp.plot_confusion_matrix(figsize=(4, 4), normalize=True)
interp.plot_top_losses(4, figsize=(6, 6))
''')
    assert 0 < n['lr'] < 10 and 0 <= n['err'] <= 1
    assert n['preds'].shape == n['plain'].shape == (len(n['dls'].valid_ds), 2)
    assert len(n['dls'].valid_ds) == len(n['interp'].losses) == n['matrix'].sum()
    assert n['losses'][0] >= n['losses'][-1] and n['idxs'].shape == (4,)


def test_satellite_tags(run, tiles):
    "Planet, with functions of a row, eight symmetries, F2, two sizes, rates for the groups, a search for the threshold."
    n = run(f'''
planet = Path({str(tiles)!r})
df = pd.read_csv(planet/'labels.csv')
def get_x(r): return planet/'train'/f"{{r['image_name']}}.jpg"
def get_y(r): return r['tags'].split(' ')
tfms = aug_transforms(flip_vert=True, max_lighting=0.1, max_zoom=1.05, max_warp=0.)
def get_data(size, bs=16):
    block = DataBlock(blocks=(ImageBlock, MultiCategoryBlock(vocab=sorted({{t for o in df.tags for t in o.split()}}))), get_x=get_x,
                      get_y=get_y, splitter=RandomSplitter(valid_pct=0.2, seed=42), item_tfms=Resize(size), batch_tfms=tfms)
    return block.dataloaders(df, bs=bs)
dls = get_data(32)
dls.show_batch(nrows=1, ncols=3)
f2 = FBetaMulti(2, thresh=0.2, average='samples')
learn = vision_learner(dls, resnet18, metrics=[partial(accuracy_multi, thresh=0.2), f2], pretrained=False)
lr = 1e-2
learn.fit_one_cycle(1, slice(lr))
learn.unfreeze()
learn.fit_one_cycle(1, slice(lr/9, lr))
learn.dls = get_data(64)
learn.freeze()
learn.fit_one_cycle(1, slice(1e-2/2))
preds, targs = learn.tta(n=2)
xs = torch.linspace(0.05, 0.95, 29)
accs = [accuracy_multi(preds, targs, thresh=i, sigmoid=False) for i in xs]
best = xs[np.argmax(accs)]
f2s = [FBetaMulti(2, thresh=i, sigmoid=False, average='samples')(preds, targs) for i in xs.tolist()]
item = learn.predict(get_x(df.iloc[0]))
''')
    assert n['dls'].one_batch()[1].shape == (16, len(n['dls'].vocab)) and n['learn'].dls.one_batch()[0].shape[-1] == 64
    assert n['learn'].recorder.metric_names[3:5] == ['accuracy_multi', 'fbeta_score']
    assert n['preds'].shape == (len(n['dls'].valid_ds), len(n['dls'].vocab)) and 0 < n['best'] < 1
    assert max(n['f2s']) > .3 and len(n['item'][2]) == len(n['dls'].vocab)


def test_dog_breeds_from_a_table(run, tmp_path):
    "A table of ids without endings, progressive sizes, label smoothing, a submission by hand."
    from course_lib.data.samples import make_sample
    path = make_sample('dog_breeds', tmp_path/'breeds', n_train=96, n_test=8, size=64)
    n = run(f'''
dogs = Path({str(path)!r})
dls = ImageDataLoaders.from_csv(dogs, folder='train', csv_fname='labels.csv', suff='.jpg', valid_pct=0.2, seed=42,
                                item_tfms=Resize(64), batch_tfms=aug_transforms(size=32), bs=16)
learn = vision_learner(dls, resnet18, metrics=[error_rate, top_k_accuracy], loss_func=LabelSmoothingCrossEntropy(), ps=0.5, pretrained=False)
learn.fine_tune(1)
test_files = get_image_files(dogs/'test')
tdl = learn.dls.test_dl(test_files)
preds, _, decoded = learn.get_preds(dl=tdl, with_decoded=True)
ss = pd.read_csv(dogs/'sample_submission.csv')
df = pd.DataFrame(preds.numpy(), columns=dls.vocab)
df.insert(0, 'id', [f.stem for f in test_files])
mapping = dict(enumerate(dls.vocab))
results = pd.Series(decoded.numpy(), name='idxs').map(mapping)
''')
    assert n['df'].shape == (8, len(n['dls'].vocab) + 1) and n['results'].isin(list(n['dls'].vocab)).all()
    assert n['preds'].sum(1).tolist() == pytest.approx([1.] * 8, abs=1e-4)


def test_mixup_random_crops_and_label_smoothing(run):
    n = run('''
dls = ImageDataLoaders.from_folder(path, item_tfms=RandomResizedCrop(32, min_scale=0.35), bs=16,
                                   batch_tfms=[*aug_transforms(mult=1.5, max_rotate=5, do_flip=True), Normalize.from_stats(*imagenet_stats)])
learn = vision_learner(dls, resnet18, loss_func=LabelSmoothingCrossEntropy(), metrics=accuracy, cbs=MixUp(0.4), pretrained=False)
learn.fit_flat_cos(1, 1e-3)
learn.remove_cb(MixUp)
learn.fit_sgdr(2, cycle_len=1, cycle_mult=1)
learn.show_results(max_n=3)
''')
    assert len(n['learn'].recorder.values) == 2


def test_ratings(run):
    "The book's chapter on collaborative filtering, from the star to the neighbours of a film."
    n = run('''
from course_lib.collab import *
from course_lib.tabular.all import *
path = untar_data(URLs.ML_100k)
ratings = pd.read_csv(path/'u.data', delimiter='\\t', header=None, names=['user', 'movie', 'rating', 'timestamp'])
movies = pd.read_csv(path/'u.item', delimiter='|', encoding='latin-1', usecols=(0, 1), names=('movie', 'title'), header=None)
dls = CollabDataLoaders.from_df(ratings.merge(movies), item_name='title', bs=512)
dls.show_batch()
x, y = dls.one_batch()
unknown = dls.classes['title'].o2i['no such film']
learn = collab_learner(dls, n_factors=50, y_range=(0, 5.5))
learn.fit_one_cycle(1, 5e-3, wd=0.1)
movie_bias = learn.model.i_bias.weight.squeeze()
titles = [dls.classes['title'][i] for i in movie_bias.argsort()[:5]]
net = collab_learner(dls, use_nn=True, y_range=(0, 5.5), layers=[100, 50])
net.fine_tune(1)
net.show_results()
csv = CollabDataLoaders.from_csv(untar_data(URLs.ML_SAMPLE)/'ratings.csv')
''')
    assert n['x'].shape == (512, 2) and n['y'].shape == (512, 1) and n['unknown'] == 0
    assert len(n['titles']) == 5 and isinstance(n['net'].model, n['EmbeddingNN'])


def test_a_memory_across_batches(run):
    "The book's chapter on a language model from scratch: numbers in words, read on from batch to batch."
    n = run('''
from course_lib.text.all import *
path = untar_data(URLs.HUMAN_NUMBERS)
lines = L(*(path/'train.txt').open()) + L(*(path/'valid.txt').open())
tokens = L(*' . '.join(line.strip() for line in lines).split(' '))
vocab = tokens.unique()
ids = tokens[:12000].map({word: i for i, word in enumerate(vocab)})
rows = L((tensor(ids[i:i+8]), tensor(ids[i+1:i+9])) for i in range(0, len(ids) - 8, 8))
def in_turns(ds, bs=32): return L(ds[i + len(ds) // bs * j] for i in range(len(ds) // bs) for j in range(bs))
dls = DataLoaders.from_dsets(in_turns(rows[:1200]), in_turns(rows[1200:]), bs=32, drop_last=True, shuffle=False)
class Reader(Module):
    def __init__(self, forgets=0):
        self.emb, self.rnn, self.out = nn.Embedding(30, 16), nn.LSTM(16, 16, 2, batch_first=True), nn.Linear(16, 30)
        self.out.weight, self.forgets = self.emb.weight, forgets
        self.state = [torch.zeros(2, 32, 16) for _ in range(2)]
    def forward(self, x):
        raw, state = self.rnn(self.emb(x), self.state)
        self.state = [o.detach() for o in state]
        return self.out(raw), raw, F.dropout(raw, 0.1, self.training)
    def reset(self):
        self.forgets += 1
        for o in self.state: o.zero_()
waits = Learner(dls, Reader(), loss_func=CrossEntropyLossFlat(), cbs=[ModelResetter, RNNRegularizer(alpha=2, beta=1)])
learn = TextLearner(dls, Reader(), loss_func=CrossEntropyLossFlat(), metrics=accuracy)
learn.fit_one_cycle(2, 1e-2, wd=0.1)
losses = L(learn.recorder.values).itemgot(1)
''')
    assert len(n['tokens']) == 63_095 and len(n['vocab']) == 30
    assert n['learn'].model.forgets == 5   # before each training and validation, and at the end
    assert n['losses'][1] < n['losses'][0] < 3.5


def test_what_convolutions_do_while_they_learn(run):
    "The book's chapter on convolutions: grey digits, own kernels, statistics of the activations."
    n = run('''
from course_lib.callback.hook import *
digits = untar_data(URLs.MNIST)
block = DataBlock((ImageBlock(cls=PILImageBW), CategoryBlock), get_items=lambda p: get_image_files(p)[::5],
                  splitter=GrandparentSplitter('training', 'testing'), get_y=parent_label, batch_tfms=Normalize())
dls = block.dataloaders(digits, bs=64)
dls.show_batch(max_n=4, figsize=(3, 3))
xb, yb = to_cpu(first(dls.valid))
edges = F.conv2d(xb, tensor([[[[-1, -1, -1], [0, 0, 0], [1, 1, 1]]]]).float())
show_image(edges[0, 0])
def conv(ni, nf): return nn.Sequential(nn.Conv2d(ni, nf, 3, 2, 1), nn.ReLU(), nn.BatchNorm2d(nf))
net = sequential(conv(1, 4), conv(4, 8), nn.Conv2d(8, 10, 7), Flatten())
learn = Learner(dls, net, loss_func=F.cross_entropy, metrics=accuracy, cbs=ActivationStats(with_hist=True))
text = str(learn.summary())
learn.fit_one_cycle(1, 0.06)
learn.recorder.plot_sched()
for layer in (0, -2): learn.activation_stats.plot_layer_stats(layer)
learn.activation_stats.color_dim(-2)
hist = learn.activation_stats.hist(-4)
''')
    assert n['xb'].shape == (64, 1, 28, 28) and n['edges'].shape == (64, 1, 26, 26)
    assert '64 x 4 x 14 x 14' in n['text'] and n['hist'].shape == (40, len(n['dls'].train))


def test_own_residual_blocks_and_where_a_net_looks(run):
    "The book's chapters on ResNets and on activation maps, with layers and hooks of one's own."
    n = run('''
dls = DataBlock((ImageBlock, CategoryBlock), get_items=get_image_files, splitter=GrandparentSplitter(), get_y=parent_label,
                item_tfms=Resize(48), batch_tfms=[*aug_transforms(min_scale=0.5, size=32), Normalize.from_stats(*imagenet_stats)]
               ).dataloaders(path, bs=16)
class Residual(Module):
    def __init__(self, ni, nf, stride=1):
        self.convs = nn.Sequential(ConvLayer(ni, nf, stride=stride), ConvLayer(nf, nf, act_cls=None, norm_type=NormType.BatchZero))
        self.match = noop if ni == nf else ConvLayer(ni, nf, 1, act_cls=None)
        self.pool = noop if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)
    def forward(self, x): return F.relu(self.convs(x) + self.match(self.pool(x)))
class Net(nn.Sequential):
    def __init__(self, n_out):
        body = nn.Sequential(ConvLayer(3, 8, stride=2), Residual(8, 16, 2), Residual(16, 16))
        super().__init__(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), Flatten(), nn.Linear(16, n_out)))
learn = Learner(dls, Net(dls.c), loss_func=nn.CrossEntropyLoss(), metrics=accuracy).to_fp16()
lr = learn.lr_find(num_it=20).valley
learn.fit_one_cycle(1, 3e-3)
x, = first(dls.test_dl([PILImage.create(get_image_files(path)[0])]))
kept = {}
hooks = [learn.model[0].register_forward_hook(lambda m, i, o: kept.update(act=o.detach())),
         learn.model[0].register_full_backward_hook(lambda m, gi, go: kept.update(grad=go[0].detach()))]
learn.model.eval()(x)[0, 1].backward()
for hook in hooks: hook.remove()
cam = torch.einsum('ck,kij->cij', learn.model[1][-1].weight, kept['act'][0])
by_gradient = (kept['grad'][0].mean((1, 2), keepdim=True) * kept['act'][0]).sum(0)
picture = TensorImage(dls.train.decode((x,))[0][0])
_, ax = plt.subplots()
picture.show(ctx=ax)
''')
    assert n['cam'].shape == (2, 8, 8) and n['picture'].shape == (3, 32, 32) and n['picture'].max() > 1
    n['torch'].testing.assert_close(n['by_gradient'] * 64, n['cam'][1].detach())   # after a mean, both are the same map


def test_segmentation_in_four_lines(run):
    "The cells of the book's chapter 1, and what chapter 15 says of the net."
    n = run('''
path = untar_data(URLs.CAMVID_TINY)
dls = SegmentationDataLoaders.from_label_func(
    path, bs=4, fnames=get_image_files(path/"images")[:10],
    label_func=lambda o: path/'labels'/f'{o.stem}_P{o.suffix}',
    codes=np.loadtxt(path/'codes.txt', dtype=str)
)
learn = unet_learner(dls, resnet18, pretrained=False)
learn.fine_tune(1)
learn.show_results(max_n=6, figsize=(7,8))
mask, numbers, scores = learn.predict(get_image_files(path/'images')[0])
learn.path = Path()
learn.export('street.pkl')
again = load_learner('street.pkl').predict(get_image_files(path/'images')[0])[0]
name2id = {v: k for k, v in enumerate(dls.vocab)}
void = name2id['Void']
def acc_camvid(inp, targ):
    targ = targ.squeeze(1)
    mask = targ != void
    return (inp.argmax(dim=1)[mask] == targ[mask]).float().mean()
learn.metrics = [acc_camvid, foreground_acc, JaccardCoeffMulti(), DiceMulti()]
row = learn.validate()
learn.loss_func = DiceLoss()
learn.get_preds(dl=[dls.one_batch()], with_loss=True)
interp = SegmentationInterpretation.from_learner(learn)
''')
    assert n['dls'].one_batch()[1].shape == (4, 96, 128) and type(n['learn'].model).__name__ == 'DynamicUnet'
    assert n['mask'].shape == (96, 128) and n['scores'].shape == (11, 96, 128) and (n['mask'] == n['again']).all()
    assert len(n['learn'].splitter(n['learn'].model)) == 3 and 0 <= n['row'][1] <= 1
    assert n['interp'].confusion_matrix().sum() == 2 * 96 * 128


@pytest.fixture(scope='module')
def rice(tmp_path_factory):
    from course_lib.data.samples import make_sample
    return make_sample('paddy', tmp_path_factory.mktemp('rice')/'paddy', n_train=80, n_test=6, wrong=0, h=64, w=48)


@pytest.mark.slow
def test_road_to_the_top(run, rice):
    "The course's notebooks on Paddy: other sizes and ways to resize, accumulation, TTA of several models, a submission."
    n = run(f'''
path = Path({str(rice)!r})
trn_path = path/'train_images'
tst_files = get_image_files(path/'test_images').sorted()
resize_images(trn_path, dest=Path('sml'), max_size=48, recurse=True)
def train(arch, size, item=Resize(48, method='squish'), accum=1, epochs=1):
    dls = ImageDataLoaders.from_folder(trn_path, valid_pct=0.2, seed=42, item_tfms=item,
        batch_tfms=aug_transforms(size=size, min_scale=0.75), bs=16//accum)
    cbs = GradientAccumulation(16) if accum else []
    learn = vision_learner(dls, arch, metrics=error_rate, cbs=cbs, pretrained=False).to_fp16()
    learn.fine_tune(epochs, 0.01)
    return learn.tta(dl=dls.test_dl(tst_files), n=1), dls
models = {{'resnet18': {{(Resize((64, 48)), 32), (Resize(48, method=ResizeMethod.Pad, pad_mode=PadMode.Zeros), (32, 24))}}}}
tta_res = []
for arch, details in models.items():
    for item, size in details:
        print(item.name)
        res, dls = train(arch, size, item=item, accum=2)
        tta_res.append(res)
save_pickle('tta_res.pkl', tta_res)
tta_prs = first(zip(*tta_res))
tta_prs += tta_prs[:1]
avg_pr = torch.stack(tta_prs).mean(0)
ss = pd.read_csv(path/'sample_submission.csv')
ss['label'] = np.array(dls.vocab)[avg_pr.argmax(dim=1)]
ss.to_csv('subm.csv', index=False)
''')
    assert n['avg_pr'].shape == (6, 10) and n['ss'].label.isin(list(n['dls'].vocab)).all()
    assert n['pd'].read_csv('subm.csv').image_id.tolist() == [f'20000{i}.jpg' for i in range(1, 7)]


def test_two_targets(run, rice):
    "Part 4 of that road: the same model from a data block with two targets, then both, by own losses and metrics."
    n = run(f'''
path = Path({str(rice)!r})
df = pd.read_csv(path/'train.csv', index_col='image_id')
def get_variety(p): return df.loc[p.name, 'variety']
dls = DataBlock(blocks=(ImageBlock,CategoryBlock,CategoryBlock), n_inp=1, get_items=get_image_files,
    get_y=[parent_label,get_variety], splitter=RandomSplitter(0.2, seed=42),
    item_tfms=Resize(48, method='squish'), batch_tfms=aug_transforms(size=32, min_scale=0.75)
).dataloaders(path/'train_images', bs=16)
dls.show_batch(max_n=6)
def disease_err(inp,disease,variety): return error_rate(inp,disease)
def disease_loss(inp,disease,variety): return F.cross_entropy(inp,disease)
one = vision_learner(dls, resnet18, loss_func=disease_loss, metrics=disease_err, n_out=10, pretrained=False).to_fp16()
one.fine_tune(1, 0.01)
plain = vision_learner(dls, resnet18, n_out=20, pretrained=False).to_fp16()
k = len(dls.vocab[0])
def disease_loss(inp,disease,variety): return F.cross_entropy(inp[:,:k],disease)
def variety_loss(inp,disease,variety): return F.cross_entropy(inp[:,k:],variety)
def combine_loss(inp,disease,variety): return disease_loss(inp,disease,variety)+variety_loss(inp,disease,variety)
def disease_err(inp,disease,variety): return error_rate(inp[:,:k],disease)
def variety_err(inp,disease,variety): return error_rate(inp[:,k:],variety)
all_metrics = (disease_err,variety_err)+(disease_loss,variety_loss)
learn = vision_learner(dls, resnet18, loss_func=combine_loss, metrics=all_metrics, n_out=dls.c, pretrained=False).to_fp16()
learn.fine_tune(1, 0.01)
learn.show_results()
preds, targs = learn.get_preds()
said = learn.predict(get_image_files(path/'test_images')[0])
learn.path = Path()
learn.export('two.pkl')
again = load_learner('two.pkl').predict(get_image_files(path/'test_images')[0])
''')
    diseases, varieties = n['dls'].vocab
    assert n['one'].predict(n['get_image_files'](rice/'test_images')[0])[0] in diseases
    assert n['preds'].shape == (16, n['dls'].c) and len(n['targs']) == 2 and n['dls'].c == len(diseases) + len(varieties)
    assert n['said'][0][0] in diseases and n['said'][0][1] in varieties and n['again'][0] == n['said'][0]
    loss, *_, first, second = n['learn'].recorder.values[-1][1:]
    assert abs(loss - first - second) < 1e-2
    for i, vocab in enumerate((diseases, varieties)):   # one target looked at; and both in the note of an exported graph
        table = n['ClassificationInterpretation'].from_learner(n['learn'], target=i).confusion_matrix()
        assert table.shape == (len(vocab), len(vocab)) and table.sum() == 16
    from types import SimpleNamespace
    from course_lib.deploy import example, graph_of, preparation
    from course_lib.onnx_reader import OnnxModel
    note = preparation(n['learn'])
    xs = example(note, n['learn'])
    out = graph_of(n['learn'], note, xs)(*xs)[0].numpy()
    both = OnnxModel.answer(SimpleNamespace(note=note), out)
    assert [o['label'] in v for o, v in zip(both, (diseases, varieties))] == [True, True]
    assert all(abs(sum(o['probabilities'].values()) - 1) < 1e-4 for o in both)
