"Two readers of texts: AWD-LSTM and MinGRU, as language models and as classifiers of real reviews."
import time

from common import main

spec = dict(
    title='Readers of texts: AWD-LSTM and MinGRU',
    what='Real reviews, 200 numbers a word, two layers of 400, as in `course_lib train imdb`. Language model: 2,000 reviews, two passes, 500 others judge. '
         'Classifier: 800 of them with a label, a reader that starts from the language model (the recipe: head, one group more, all for twelve passes) or from nothing '
         '(thirteen passes); 2,000 others judge. Word counts learn from the same 800.',
    about_data='real reviews of films from the mirror (Maas and others, 2011)', source='IMDB', sample='imdb',
    sides=dict(lstm='AWD-LSTM', mingru='MinGRU'),
    measures=dict(nats=dict(text='language model, nats a token', better='low', quality=True),
                  after=dict(text='classifier after it, accuracy', better='high', quality=True),
                  nothing=dict(text='classifier from nothing, accuracy', better='high', quality=True),
                  counts=dict(text='word counts, accuracy', better='high', quality=True),
                  lm_seconds=dict(text='language model, seconds', better='low'),
                  seconds=dict(text='classifier after it, seconds', better='low')),
    ratios=[['mingru', 'lstm', 'lm_seconds', None], ['mingru', 'lstm', 'seconds', None]], rounds=1, threads=1, data='real')


def some(df, learn, judge):
    "So many reviews to learn from, so many to judge."
    import pandas as pd
    parts = {False: learn, True: judge}
    return pd.concat([df[(df.label != '') & (df.is_valid == judges)].sample(n, random_state=0) for judges, n in parts.items()], ignore_index=True)


def right(learn, df):
    "Share of these reviews that are judged rightly."
    probs, targs = learn.get_preds(dl=learn.dls.test_dl(df, with_labels=True))
    return float((probs.argmax(1) == targs).float().mean())


def measure(args, arch):
    from course_lib.apps.imdb import imdb_texts
    from course_lib.apps.text import WordCounts, ready_texts, train_classifier, train_lm
    df = ready_texts(imdb_texts(args.data), 0)
    small = lambda n: n // 20 if args.quick else n
    start = time.perf_counter()
    lm, key = train_lm(some(df, small(2000), small(500)), epochs=2, seed=args.round, arch=arch)
    found = dict(lm_seconds=time.perf_counter() - start, nats=float(lm.validate()[0]))
    labelled, judges = some(df, small(800), 200), some(df, 1, small(2000)).iloc[1:]
    start = time.perf_counter()
    learn = train_classifier(labelled, lm, key, seed=args.round)
    found.update(seconds=time.perf_counter() - start, after=right(learn, judges))
    lm, key = train_lm(labelled, epochs=0, seed=args.round, arch=arch)
    found['nothing'] = right(train_classifier(labelled, lm, key, seed=args.round), judges)
    counts = WordCounts(labelled[~labelled.is_valid])
    found['counts'] = float((counts.model.classes_[counts.probabilities(judges.text).argmax(1)] == judges.label).mean())
    return found


def lstm(args):
    from course_lib.text.models.awdlstm import AWD_LSTM
    return measure(args, AWD_LSTM)


def mingru(args):
    from course_lib.text.models.mingru import MinGRU
    return measure(args, MinGRU)


if __name__ == '__main__': main(dict(lstm=lstm, mingru=mingru))
