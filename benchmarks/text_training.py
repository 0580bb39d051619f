"""Texts beside fastai: a language model and a classifier in training; and a bare loop for the price of the learner.

The same generated reviews for every side, the same sizes, batches, dropouts, optimizer settings and number of steps; each side as it comes.
"""
import time

from common import declare_operators, main

spec = dict(
    title='Texts: a language model and a classifier in training',
    what='4,000 generated reviews. Language model: AWD-LSTM, 400 numbers '
         'a word, two layers of 1,152, 12,000 words in the decoder, 64 streams of 72 words, gradients and Adam included. Classifier: the same reader with '
         'two classes, 32 texts a batch. Each side as it comes: ours trains in bf16 where the processor has it, fastai in float32. `ours_fp32`: '
         'without bf16. Bare: the same model and batches as `ours_fp32` in a loop by hand.',
    sides=dict(ours='course_lib', ours_fp32='course_lib, float32', bare='PyTorch loop, float32', fastai='fastai'),
    measures=dict(lm=dict(text='words a second, language model in training', better='high'),
                  classifier=dict(text='words a second, classifier in training', better='high')),
    ratios=[['fastai', 'ours', 'lm', round(1 / 1.3, 3)], ['fastai', 'ours', 'classifier', round(1 / 1.3, 3)],
            ['ours_fp32', 'fastai', 'lm', None], ['ours_fp32', 'bare', 'lm', None], ['ours_fp32', 'fastai', 'classifier', None]],
    rounds=3, threads=1)

sizes, n_words, bs, seq_len = dict(emb_sz=400, n_hid=1152, n_layers=2), 12_000, 64, 72


def steps(args): return 2 if args.quick else 6


def texts(args):
    "(reviews, labels), the same in every environment: words by rank, longer and shorter texts."
    import numpy as np
    rng = np.random.default_rng(0)
    words = np.array([f'word{i}' if i > 30 else w for i, w in enumerate((['the', 'a', 'and', 'of', 'film', 'it', 'is', 'was', ',', '.'] * 4)[:31] + [''] * 14_000)])
    made = [' '.join(words[np.minimum(rng.zipf(1.3, rng.integers(60, 300)), 13_999)]).capitalize() + '.' for _ in range(200 if args.quick else 4000)]
    return made, ['pos' if i % 2 else 'neg' for i in range(len(made))]


def frame(args):
    import pandas as pd
    text, label = texts(args)
    return pd.DataFrame(dict(text=text, label=label))


def vocabulary():
    return ['xxunk', 'xxpad', 'xxbos', 'xxeos', 'xxfld', 'xxrep', 'xxwrep', 'xxup', 'xxmaj'] + [f'word{i}' for i in range(31, n_words + 22)]


def first_batches(dl, n):
    "So many batches, made beforehand: what is timed is training."
    found = []
    for b in dl:
        found.append(b)
        if len(found) == n: return found
    raise SystemExit(f'{len(found)} batches where {n} were wanted')


def words_a_second(epoch, batches):
    "The first epoch is a warm-up."
    epoch()
    start = time.perf_counter()
    epoch()
    return sum(int((b[0] != 1).sum()) for b in batches) / (time.perf_counter() - start)


def fitted(learn, batches):
    "An epoch of a learner, ours or fastai's, with one batch to validate."
    def epoch():
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    return words_a_second(epoch, batches)


def ours(args, precision='auto'):
    from types import SimpleNamespace

    from course_lib.text.all import AWD_LSTM, TextDataLoaders, language_model_learner, set_seed, text_classifier_learner
    df, vocab = frame(args), vocabulary()
    how = dict(pretrained=False, precision=precision)
    dls = TextDataLoaders.from_df(df, text_col='text', is_lm=True, text_vocab=vocab, bs=bs, seq_len=seq_len, cache='memory')
    set_seed(0)
    learn, batches = language_model_learner(dls, AWD_LSTM, sizes, **how), first_batches(dls.train, steps(args))
    learn.dls = SimpleNamespace(train=batches, valid=batches[:1])
    found = dict(lm=fitted(learn, batches))
    dls = TextDataLoaders.from_df(df, text_col='text', label_col='label', text_vocab=vocab, bs=32, cache='memory')
    learn, batches = text_classifier_learner(dls, AWD_LSTM, config=sizes, **how), first_batches(dls.train, steps(args))
    learn.dls = SimpleNamespace(train=batches, valid=batches[:1])
    return dict(found, classifier=fitted(learn, batches))


def ours_fp32(args): return ours(args, 'fp32')


def bare(args):
    "The model of `ours_fp32` on its batches, in a loop by hand."
    import torch
    import torch.nn.functional as F
    from course_lib.text.all import AWD_LSTM, TextDataLoaders, get_language_model, set_seed
    df = frame(args)
    set_seed(0)
    dls = TextDataLoaders.from_df(df, text_col='text', is_lm=True, text_vocab=vocabulary(), bs=bs, seq_len=seq_len, cache='memory')
    batches = first_batches(dls.train, steps(args))
    model = get_language_model(AWD_LSTM, len(vocabulary()), sizes)
    opt = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    def epoch():
        model.train()
        model.reset()
        for x, y in batches:
            scores, raw, out = model(x.as_subclass(torch.Tensor))
            loss = F.cross_entropy(scores.flatten(0, 1), y.as_subclass(torch.Tensor).flatten())
            (loss + 2 * out.pow(2).mean() + (raw[:, 1:] - raw[:, :-1]).pow(2).mean()).backward()
            opt.step()
            opt.zero_grad()
    return dict(lm=words_a_second(epoch, batches))


def fastai(args):
    declare_operators()
    from fastai.text.all import (AWD_LSTM, DataLoaders, TextDataLoaders, awd_lstm_clas_config, awd_lstm_lm_config, language_model_learner,
                                 set_seed, text_classifier_learner)

    class Fixed(list):
        bs, n_inp, device, drop_last, dataset = None, 1, 'cpu', False, ()

    df, vocab = frame(args), vocabulary()
    dls = TextDataLoaders.from_df(df, text_col='text', is_lm=True, text_vocab=vocab, bs=bs, seq_len=seq_len, n_workers=1)
    set_seed(0)
    learn, batches = language_model_learner(dls, AWD_LSTM, {**awd_lstm_lm_config, **sizes}, pretrained=False), first_batches(dls.train, steps(args))
    learn.dls = DataLoaders(Fixed(batches), Fixed(batches[:1]))
    found = dict(lm=fitted(learn, batches))
    dls = TextDataLoaders.from_df(df, text_col='text', label_col='label', text_vocab=vocab, bs=32, n_workers=1)
    learn, batches = text_classifier_learner(dls, AWD_LSTM, config={**awd_lstm_clas_config, **sizes}, pretrained=False), first_batches(dls.train, steps(args))
    learn.dls = DataLoaders(Fixed(batches), Fixed(batches[:1]))
    return dict(found, classifier=fitted(learn, batches))


if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
