"From texts to batches: cutting, numbering, and what a loader costs apart from any model. CPU time of one process each."
import time

from common import declare_operators, main

spec = dict(
    title='Texts to batches',
    what='The 1,000 reviews of the IMDB sample: cut into words and numbered (the vocabulary made on the way); then an epoch through the loader '
         'of a language model (64 streams of 72 tokens) and of a classifier (64 reviews), whose batches are not used.',
    sides=dict(ours='course_lib, one process', fastai='fastai, one process'),
    measures=dict(cut=dict(text='seconds of CPU to cut and number', better='low'), lm=dict(text='ms of CPU an epoch, language model', better='low'),
                  classifier=dict(text='ms of CPU an epoch, classifier', better='low'), tokens=dict(text='tokens', better='high', quality=True),
                  words=dict(text='tokens in the vocabulary', better='high', quality=True)),
    ratios=[['ours', 'fastai', 'cut', 0.5], ['ours', 'fastai', 'lm', None], ['ours', 'fastai', 'classifier', None]],
    rounds=5, threads=1, data='real', source='IMDB_SAMPLE', sample='imdb_sample',
    about_data='1,000 reviews from the mirror (1.3 million letters)')


def frame(args):
    import pandas as pd
    return pd.read_csv(args.data/'texts.csv')


def epochs(dl, n=3):
    "Milliseconds of CPU an epoch, the first left out."
    for _ in dl: pass
    start = time.process_time()
    for _ in range(n):
        for _ in dl: pass
    return (time.process_time() - start) / n * 1000


def ours(args):
    from course_lib.text.core import Tokenizer
    from course_lib.text.data import TextDataLoaders, make_vocab
    from course_lib.text.store import cut_texts
    df, tok = frame(args), Tokenizer()
    tok('spaCy is loaded now')
    start = time.process_time()
    store = cut_texts(df.text.tolist(), tok)
    vocab = make_vocab(store.counts())
    ids = store.table(vocab)[store.ids]
    cut = time.process_time() - start
    how = dict(text_col='text', label_col='label', valid_col='is_valid', bs=64, text_vocab=vocab)
    return dict(cut=cut, lm=epochs(TextDataLoaders.from_df(df, is_lm=True, **how).train), classifier=epochs(TextDataLoaders.from_df(df, **how).train),
                tokens=float(len(ids)), words=float(len(vocab)))


def fastai(args):
    declare_operators()
    from collections import Counter

    from fastai.text.all import (CategoryBlock, ColReader, ColSplitter, DataBlock, L, Numericalize, TextBlock, WordTokenizer, defaults, first,
                                 make_vocab, parallel_tokenize)
    df, tok = frame(args), WordTokenizer()
    first(tok(['spaCy is loaded now']))
    start = time.process_time()
    toks = L(parallel_tokenize(df.text.tolist(), tok, defaults.text_proc_rules, n_workers=0)).sorted().itemgot(1)
    num = Numericalize(make_vocab(Counter(t for o in toks for t in o)))
    ids = [num(o) for o in toks]
    cut, vocab = time.process_time() - start, num.vocab
    text = dict(get_x=ColReader('text'), splitter=ColSplitter())
    lm = DataBlock(blocks=TextBlock.from_df('text', is_lm=True, vocab=vocab, n_workers=0), **text).dataloaders(df, bs=64, seq_len=72)
    clas = DataBlock(blocks=(TextBlock.from_df('text', vocab=vocab, n_workers=0), CategoryBlock), get_y=ColReader('label'), **text).dataloaders(df, bs=64)
    return dict(cut=cut, lm=epochs(lm.train), classifier=epochs(clas.train), tokens=float(sum(map(len, ids))),
                words=float(len([t for t in vocab if t != 'xxfake'])))


if __name__ == '__main__': main(dict(ours=ours, fastai=fastai))
