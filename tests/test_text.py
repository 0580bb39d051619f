"Texts: what needs the extra `subwords`, large stores, and bad input from files."
import json
import random

import numpy as np
import pandas as pd
import pytest
import torch
from course_lib.text import core, data, store
from course_lib.torch_core import from_config, to_config

words = 'the film plot actor was is good bad dull fine great not very and but so of a in it'.split()


def lines(n, seed=0, lo=3, hi=40):
    rng = random.Random(seed)
    return [' '.join(rng.choices(words, k=rng.randint(lo, hi))) + f' {i}.' for i in range(n)]


def test_subwords():
    "Pieces are learnt from the training texts, saved with the loaders, and joined again."
    pytest.importorskip('tokenizers')
    df = pd.DataFrame({'text': lines(300), 'label': ['a', 'b', 'c'] * 100})
    dls = data.TextDataLoaders.from_df(df, text_col='text', label_col='label', tok_tfm=core.SubwordTokenizer(vocab_sz=100), bs=8)
    toks = dls.tokenizer('The film was extraordinarily good.')
    assert toks[0] == core.BOS and any(t.startswith('▁') for t in toks) and len(toks) > 8
    assert dls.tokenizer.decode(toks) == 'xxbos xxmaj the film was extraordinarily good.'
    new = ['a good film', 'the actor was dull']
    again = from_config(json.loads(json.dumps(dls.to_config())), 'loaders')
    assert torch.equal(dls.test_dl(new).one_batch()[0], again.test_dl(new).one_batch()[0])
    with pytest.raises(RuntimeError, match='learnt first'): next(iter(core.SubwordTokenizer()(['a'])))


@pytest.mark.parametrize('lang', ['en', 'de', 'xx', 'es', *(pytest.param(o, marks=pytest.mark.slow) for o in ('fr', 'it', 'pt', 'nl', 'pl', 'tr'))])
def test_the_short_way_is_spacys(lang):
    "Rules and tokenizer at once give what rules, then spaCy on the whole text give; in languages with odd exceptions too."
    tok = core.WordTokenizer(lang)
    cut, rng = core.TextCutter(tok, core.defaults.text_proc_rules), random.Random(1)
    parts = [*words, 'Mr.', 'z.B.', "l'amour", "C'est", 'EE. UU.', 'U.S.', 'cannot', 'im', 'a.m.', '3,5', '-', '--', '!!!', '"so"', '(no)', 'x;', ':)',
             'ça', 'İstanbul', 'STRASSE', 'ß', '…', '\n', '\t', '<br />', '50%', 'm²', '10km', "d'", '…', 'no no', 'ha ha ha', '/', '#']
    for _ in range(400):
        text = ' '.join(rng.choices(parts, k=rng.randint(0, 15)))
        slow = text
        for rule in core.defaults.text_proc_rules: slow = rule(slow)
        assert cut(text) == [core.replace_space(o) for o in tok.whole(slow)], repr(text)


def test_a_store_in_pieces(monkeypatch):
    "What is written in several pieces is what is made in memory."
    texts, tok = lines(400), core.Tokenizer()
    whole = store.cut_texts(texts, tok)
    pieces = []
    monkeypatch.setattr(store, '_piece', 100)
    made = store.cut_texts(texts, tok, write=lambda a: pieces.append(a.copy()))
    assert len(pieces) > 3 and np.array_equal(np.concatenate(pieces), whole.ids)
    assert np.array_equal(made.offsets, whole.offsets) and made.tokens == whole.tokens


def test_loaders_from_disk(tmp_path):
    "Loaders that read their numbers from a file make the same batches; a second program finds them."
    df = pd.DataFrame({'text': lines(200), 'label': ['a', 'b'] * 100, 'is_valid': [False, False, False, True] * 50})
    settings = dict(text_col='text', label_col='label', valid_col='is_valid', bs=16)
    memory = data.TextDataLoaders.from_df(df, **settings)
    disk = data.TextDataLoaders.from_df(df, cache=tmp_path/'kept', **settings)
    assert isinstance(disk.train.store.ids, np.memmap) and not isinstance(memory.train.store.ids, np.memmap)
    assert len(list((tmp_path/'kept').iterdir())) == 2 # training and validation
    for a, b in zip(memory.valid, disk.valid): assert all(torch.equal(x, y) for x, y in zip(a, b))
    assert str(tmp_path) not in json.dumps(disk.to_config())
    lm = data.TextDataLoaders.from_df(df, is_lm=True, cache=tmp_path/'kept', **settings)
    assert lm.train.store is disk.train.store # the same texts: cut once for both


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path/'file').write_text('')
    dls = data.TextDataLoaders.from_df(pd.DataFrame({'text': lines(40)}), text_col='text', is_lm=True, bs=2, cache=tmp_path/'file')
    assert len(dls.one_batch()) == 2 and 'not kept on disk' in capsys.readouterr().out


def test_notes_say_what_is_left_out(capsys):
    "Empty texts, missing labels, unknown words, texts on both sides, long texts: one line each."
    df = pd.DataFrame({'text': lines(100), 'label': ['a', 'b'] * 50, 'is_valid': [False] * 80 + [True] * 20})
    df.loc[[3, 90], 'text'] = None
    df.loc[85, 'text'] = df.text[1]
    df.loc[86, 'text'] = 'xylophone zeppelin'
    df.loc[[7, 8], 'label'] = None
    data.TextDataLoaders.from_df(df, text_col='text', label_col='label', valid_col='is_valid', bs=8)
    out = capsys.readouterr().out
    for said in ('2 of 100 rows have no label (first: row 7)', '1 of 78 texts are empty or missing (the first: row 3)',
                 '1 of 20 texts are empty or missing (the first: row 90)', '1 of 20 validation texts stand in training too',
                 '1 of 20 texts have no word'):
        assert said in out, (said, out)
    assert len(out.strip().split('\n')) == 5


def test_million_words():
    "One huge text: cut quickly enough, streamed whole, and cut short for a classifier with one note."
    rng = random.Random(0)
    huge = ' '.join(rng.choices(words, k=1_000_000))
    df = pd.DataFrame({'text': [huge, *lines(60)], 'label': ['a', *['a', 'b'] * 30], 'is_valid': [False] * 50 + [True] * 11})
    lm = data.TextDataLoaders.from_df(df, text_col='text', is_lm=True, valid_col='is_valid', bs=32)
    assert lm.train.store.lengths[0] > 900_000
    dls = data.TextDataLoaders.from_df(df, text_col='text', label_col='label', valid_col='is_valid', bs=8)
    assert dls.one_batch()[0].shape == (8, 10_000)
    assert dls.train.new(max_len=50).one_batch()[0].shape == (8, 50)


def test_streams_are_exact():
    "Every batch of every epoch: the target is the input one token later, rows go on, and every text is whole."
    texts = [torch.tensor([1000 * i + j for j in range(n)]) for i, n in enumerate(np.random.default_rng(0).integers(1, 60, 120).tolist())]
    for bs, seq_len, varied in ((1, 7, False), (4, 16, False), (8, 11, True), (3, 1, False)):
        dl = data.LMDataLoader(texts, bs=bs, seq_len=seq_len, shuffle=True, varied=varied, split_idx=0)
        for _ in range(2):
            batches = list(dl)
            assert len(batches) == len(dl)
            x, y = (torch.cat([b[i].as_subclass(torch.Tensor) for b in batches], 1) for i in (0, 1))
            assert x.shape == (bs, dl.stream_len) and torch.equal(x[:, 1:], y[:, :-1])
            assert torch.equal(x.flatten()[1:], torch.cat([x[:, 1:], y[:, -1:]], 1).flatten()[:-1])
            line = torch.cat([x.flatten(), y[-1:, -1]])
            starts = (line % 1000 == 0).nonzero().flatten().tolist()
            for a, b in zip(starts, [*starts[1:], None]):
                text = line[a:b]
                whole = texts[int(text[0]) // 1000]
                assert torch.equal(text, whole[:len(text)]) and (b is None or len(text) == len(whole))


def test_learner_takes_them():
    "A plain model trains on both kinds of loaders; predictions come in the order of the items."
    from course_lib.learner import Learner
    from course_lib.losses import CrossEntropyLossFlat
    from torch import nn
    df = pd.DataFrame({'text': [('good fine ' if i % 3 else 'bad dull ') + t for i, t in enumerate(lines(240))],
                       'label': ['pos' if i % 3 else 'neg' for i in range(240)], 'is_valid': [i >= 180 for i in range(240)]})
    dls = data.TextDataLoaders.from_df(df, text_col='text', label_col='label', valid_col='is_valid', bs=16)

    class Bag(nn.Module):
        def __init__(self, n): super().__init__(); self.emb, self.out = nn.Embedding(n, 8, padding_idx=1), nn.Linear(8, 2)
        def forward(self, x): return self.out(self.emb(x).sum(1) / x.ne(1).sum(1, keepdim=True))
    torch.manual_seed(0)
    learn = Learner(dls, Bag(len(dls.vocab[0])), loss_func=CrossEntropyLossFlat())
    with learn.no_bar(), learn.no_logging(): learn.fit(15, 0.1)
    preds, targs = learn.get_preds()
    want = [dls.vocab[1].index(o) for o in df.label[180:]]
    assert targs.tolist() == want and (preds.argmax(1) == targs).float().mean() > .8
    new = df.text[180:200].tolist()
    assert torch.allclose(learn.get_preds(dl=dls.test_dl(new))[0], preds[:20], atol=1e-6)
    assert learn.predict('good fine film')[0] == 'pos'
    xs = learn.get_preds(with_input=True)[0] # batches of different length, one beside the other
    assert len(xs) == 60 and dls.train.as_text(xs[3]) == dls.train.as_text(dls.valid_ds[3][0])
    learn.show_results(max_n=3)
    from course_lib.interpret import ClassificationInterpretation
    from course_lib.submission import submission
    assert list(submission(learn, range(20), items=new)) == ['id', 'neg', 'pos']
    assert ClassificationInterpretation.from_learner(learn).vocab == ['neg', 'pos']
    lm = data.TextDataLoaders.from_df(df, text_col='text', is_lm=True, valid_col='is_valid', bs=8, seq_len=12)
    learn = Learner(lm, nn.Sequential(nn.Embedding(len(lm.vocab), 8), nn.Linear(8, len(lm.vocab))), loss_func=CrossEntropyLossFlat())
    with learn.no_bar(), learn.no_logging(): learn.fit(2, 0.1)
    assert learn.validate()[0] < np.log(len(lm.vocab))


def test_a_saved_learner_prepares_texts(tmp_path):
    "Exported and loaded in another program: the same predictions, and no code in the file."
    import subprocess
    import sys
    from course_lib.learner import Learner
    from course_lib.losses import CrossEntropyLossFlat
    from torch import nn
    df = pd.DataFrame({'title': lines(80, 1), 'text': lines(80)})
    lm = data.TextDataLoaders.from_df(df, text_col=['title', 'text'], is_lm=True, bs=8, seq_len=12, seed=1)
    torch.manual_seed(0)
    learn = Learner(lm, nn.Sequential(nn.Embedding(len(lm.vocab), 4), nn.Linear(4, len(lm.vocab))), loss_func=CrossEntropyLossFlat(), path=tmp_path)
    learn.export('lm.pkl')
    want = learn.get_preds(dl=learn.dls.test_dl(df.head(2)))[0].sum().item()
    code = (f"import pandas as pd; from course_lib.learner_io import load_learner; learn = load_learner({str(tmp_path/'lm.pkl')!r})\n"
            f"df = pd.DataFrame({df.head(2).to_dict('list')!r}); print(learn.get_preds(dl=learn.dls.test_dl(df))[0].sum().item())")
    done = subprocess.run([sys.executable, '-W', 'error', '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) == pytest.approx(want, rel=1e-4)


def test_a_rule_of_ones_own():
    from course_lib.torch_core import register
    def shout(t): return t.replace('!', ' xxshout ')
    tok = core.Tokenizer(rules=[*core.defaults.text_proc_rules, shout])
    with pytest.raises(TypeError, match='register'): to_config(tok)
    register(shout, 'shout_rule', role='text rule')
    assert from_config(to_config(tok), 'transform')('so good!')[-1] == 'xxshout'
    register(shout, 'shout_rule')
    with pytest.raises(ValueError, match='takes text rule'): from_config(to_config(tok), 'transform')
