"""What people get wrong with pictures, tags and submissions: one clear error that names the thing and the way out.

Each case is a function of the fixtures and the words its message must hold."""
import pytest

pd = pytest.importorskip('pandas')
import torch

import course_lib.vision.all as v
from course_lib.submission import check_submission, submission, write_submission


@pytest.fixture(scope='module')
def tiles():
    "Drawn tiles: folder and table."
    from course_lib.data.external import URLs, untar_data
    path = untar_data(URLs.PLANET_SAMPLE)
    return path, pd.read_csv(path/'labels.csv').iloc[:60]


def loaders(tiles, change=lambda df: df, **kwargs):
    path, df = tiles
    options = dict(folder='train', suff='.jpg', label_delim=' ', seed=1, item_tfms=v.Resize(32), bs=8)
    return v.ImageDataLoaders.from_df(change(df.copy()), path, **{**options, **kwargs})


def only_in_valid(df):
    df.loc[df.index < 3, 'tags'] += ' comet'
    return df.assign(is_valid=df.index < 12)


def lost(df):
    df.loc[df.index[:13], 'image_name'] = [f'lost_{i:02}' for i in range(13)]
    return df


tables = {
    'no column of tags': (dict(label_col='labels'), None, KeyError, ["no column 'labels'", "['image_name', 'tags']"]),
    'no column of names': (dict(fn_col='file'), None, KeyError, ["no column 'file'"]),
    'a tag seen only in validation': (dict(valid_col='is_valid'), only_in_valid, ValueError, ['training lacks: comet']),
    'no tags at all': ({}, lambda df: df.assign(tags=''), ValueError, ['none of the 48 training items has a label', 'label_delim']),
    'files that are missing': ({}, lost, ValueError, ['13 of 60', 'lost_09', '… and 3 more', 'df = df[']),
    'all files missing': (dict(suff='.png'), None, ValueError, ['none of the 60 files exists', "suff='.jpg'"]),
    'share in percent': (dict(valid_pct=20), None, ValueError, ['valid_pct is a share, from 0 to 1, not 20']),
    'no rows': ({}, lambda df: df.iloc[:0], ValueError, ['no items']),
}


@pytest.mark.parametrize('case', tables)
def test_tables(case, tiles):
    options, change, error, words = tables[case]
    with pytest.raises(error) as e: loaders(tiles, *([change] if change else []), **options)
    for word in words: assert word in str(e.value), f'{word!r} is not in: {e.value}'


def test_names_that_are_lost_are_listed_up_to_ten(tiles):
    with pytest.raises(ValueError) as e: loaders(tiles, lost)
    assert 'lost_10' not in str(e.value)


def test_an_item_without_tags_is_allowed(tiles):
    "Nothing to be seen is an answer: a row of zeros."
    def one_empty(df):
        df.loc[df.index[0], 'tags'] = None
        return df.assign(is_valid=df.index % 5 == 4)
    dls = loaders(tiles, one_empty, valid_col='is_valid')
    assert dls.train_ds[0][1].sum() == 0 and dls.train_ds[1][1].sum() > 0


def test_numbers_are_labels_too(tiles):
    "A column of one number a cell is read as numbers; its cells are tags all the same."
    path, df = tiles
    dls = loaders(tiles, lambda df: df.assign(tags=[i % 3 for i in range(len(df))]))
    assert list(dls.vocab) == ['0', '1', '2'] and (dls.valid.one_batch()[1].sum(1) == 1).all()


preds, targs = torch.rand(6, 3), torch.randint(0, 2, (6, 3))


@pytest.mark.parametrize('f', [lambda t: v.accuracy_multi(preds, targs, thresh=t), lambda t: v.FBetaMulti(2, thresh=t),
                               lambda t: v.BCEWithLogitsLossFlat(thresh=t),
                               lambda t: submission(preds, range(6), 'abc', kind='tags', thresh=t)],
                         ids=['accuracy_multi', 'FBetaMulti', 'BCEWithLogitsLossFlat', 'submission'])
@pytest.mark.parametrize('thresh', [-.1, 1.5, 20])
def test_thresholds(f, thresh):
    with pytest.raises(ValueError, match='from 0 to 1'): f(thresh)


augmentations = {
    'angle': (lambda: v.aug_transforms(max_rotate=400), '0 and 360'), 'negative angle': (lambda: v.aug_transforms(max_rotate=-4), '0 and 360'),
    'zoom': (lambda: v.aug_transforms(max_zoom=.5), 'max_zoom is 1'), 'zooms': (lambda: v.aug_transforms(min_zoom=2.), 'min before max'),
    'light': (lambda: v.aug_transforms(max_lighting=2), '0 and 1'), 'tilt': (lambda: v.aug_transforms(max_warp=3), '0 and 1'),
    'times': (lambda: v.aug_transforms(mult=9), '0 and 1'), 'probability': (lambda: v.aug_transforms(p_affine=75), '0 and 1'),
    'light, probability': (lambda: v.aug_transforms(p_lighting=-1), '0 and 1'), 'border': (lambda: v.aug_transforms(pad_mode='mirror'), 'pad_mode is one of'),
    'mode': (lambda: v.aug_transforms(mode='cubic'), 'mode is one of'), 'size': (lambda: v.aug_transforms(size=0), 'pixels'),
    'share': (lambda: v.aug_transforms(size=32, min_scale=2), 'min_scale'), 'share without size': (lambda: v.aug_transforms(min_scale=.5), 'give size='),
    'resize': (lambda: v.Resize(0), 'pixels'), 'resize, word': (lambda: v.Resize('large'), 'pixels'), 'method': (lambda: v.Resize(32, 'stretch'), 'crop'),
    'crop': (lambda: v.RandomResizedCrop(32, min_scale=0), 'min_scale'), 'ratio': (lambda: v.RandomResizedCrop(32, ratio=(2, 1)), 'narrowest'),
    'erase': (lambda: v.RandomErasing(p=3), '0 and 1'), 'erase, count': (lambda: v.RandomErasing(max_count=0), 'max_count'),
    'mixup': (lambda: v.MixUp(-1), 'alpha'), 'cutmix': (lambda: v.CutMix(0), 'alpha'),
}


@pytest.mark.parametrize('case', augmentations)
def test_augmentation(case):
    f, word = augmentations[case]
    with pytest.raises(ValueError) as e: f()
    assert word in str(e.value)


@pytest.mark.parametrize('arch, size', [('alexnet', 32), ('densenet121', 16), ('vgg11_bn', 16), ('squeezenet1_1', 8)])
def test_too_small_for_the_architecture(arch, size, tiles):
    "The size that would do is named, in validation and in training."
    dls = loaders(tiles, lambda df: df.assign(tags='clear forest'), item_tfms=v.Resize(size))
    learn = v.vision_learner(dls, arch, pretrained=False)
    with pytest.raises(ValueError, match=rf'{size}x{size} pixels are too small for {arch}.*use Resize\('): learn.validate()
    with learn.no_bar(), learn.no_logging(), pytest.raises(ValueError, match='too small'): learn.fit(1)


def test_pictures_of_several_sizes(tiles, tmp_path):
    from course_lib.data.samples import make_sample
    dls = v.ImageDataLoaders.from_folder(make_sample('dogscats', tmp_path/'pets', n_train=8, n_valid=8), bs=4)
    with pytest.raises(ValueError, match='item_tfms=Resize'): dls.one_batch()


asked = pd.DataFrame(dict(id=['a', 'b', 'c'], cat=1 / 2, dog=1 / 2))
mine = pd.DataFrame(dict(id=['a', 'b', 'c'], cat=[.1, .2, .3], dog=[.9, .8, .7]))
submissions = {
    'another id': (mine.assign(id=['a', 'b', 'x']), ['1 ids have no row: c', 'nobody asked for: x']),
    'an id is missing': (mine[:2], ['1 ids have no row: c']), 'one too many': (pd.concat([mine, mine[:1].assign(id='d')]), ['nobody asked for: d']),
    'twice': (pd.concat([mine, mine[:1]]), ['occur twice: a', 'drop_duplicates']), 'another order': (mine[::-1], ['another order', 'reset_index']),
    'with an ending': (mine.assign(id=mine.id + '.jpg'), ['have an ending', 'stem']), 'empty cell': (mine.assign(cat=[.1, None, .3]), ["1 empty cell(s) in 'cat'"]),
    'no column': (mine.drop(columns='dog'), ['missing: dog']), 'scores': (mine.assign(cat=7.), ['between 0 and 1', 'softmax']),
}


@pytest.mark.parametrize('case', submissions)
def test_submissions(case, tmp_path):
    df, words = submissions[case]
    with pytest.raises(ValueError) as e: write_submission(df, tmp_path/'sent.csv', asked)
    for word in words: assert word in str(e.value)
    assert not list(tmp_path.iterdir()), 'something was written all the same'


def test_what_fits_goes_through(): assert check_submission(mine, asked) is mine


def test_ids_given_twice():
    with pytest.raises(ValueError, match='ids that occur twice: 7'): submission(preds[:2], [7, 7], 'abc')
