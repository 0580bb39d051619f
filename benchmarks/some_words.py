"A language model of real reviews in training: where its scores begin, and whether each place is compared with all words or with some."
import time

from common import main

spec = dict(
    title='A language model in training: where it begins, and what it compares with',
    what='2,000 real reviews to read, two passes, 500 others to judge: the language model of `course_lib train imdb` (200 numbers a word, two layers of 400). '
         'At first all words are held to be equally likely, or as likely as they are common. In training each place is compared with all words, or with '
         'those of the batch and 1,000 others by chance; all count when it is judged.',
    about_data='real reviews of films from the mirror (Maas and others, 2011)', source='IMDB', sample='imdb',
    sides=dict(equal='equally likely, all words', all='as common, all words', thousand='as common, 1,000 others'),
    measures=dict(nats=dict(text='nats a token, judged', better='low', quality=True),
                  seconds=dict(text='seconds of training', better='low')),
    ratios=[['thousand', 'all', 'seconds', None]], rounds=1, threads=1, data='real')


def trained(args, others, counted=True):
    import pandas as pd
    from course_lib.apps.imdb import imdb_texts
    from course_lib.apps.text import ready_texts, train_lm
    from course_lib.text.models.core import LMCrossEntropy
    df = ready_texts(imdb_texts(args.data), 0)
    counts = {False: 150, True: 50} if args.quick else {False: 2000, True: 500}
    df = pd.concat([df[(df.label != '') & (df.is_valid == judges)].sample(n, random_state=0) for judges, n in counts.items()], ignore_index=True)
    learn, _ = train_lm(df, epochs=0, seed=args.round)
    learn.loss_func = LMCrossEntropy(others=others)
    if not counted: learn.model[1].decoder.bias.data.zero_()
    start = time.perf_counter()
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2, 1e-2)
    return dict(seconds=time.perf_counter() - start, nats=float(learn.validate()[0]))


def equal(args): return trained(args, None, counted=False)
def all(args): return trained(args, None)
def thousand(args): return trained(args, 1000)


if __name__ == '__main__': main(dict(equal=equal, all=all, thousand=thousand))
