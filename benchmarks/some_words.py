"A language model of real reviews that compares with all words in training, or with the batch's own and some others: what is won, what is lost."
import time

from common import main

spec = dict(
    title='A language model in training: all words, or some',
    what='2,000 real reviews to read, two passes, 500 others to judge, where all words count: the language model of `course_lib train imdb` '
         '(200 numbers a word, two layers of 400). In training each place is compared with all words, or with those of the batch and so many others by chance.',
    about_data='real reviews of films from the mirror (Maas and others, 2011)', source='IMDB', sample='imdb',
    sides=dict(all='all words', thousand='1,000 others', few='300 others'),
    measures=dict(nats=dict(text='nats a token, judged', better='low', quality=True),
                  seconds=dict(text='seconds of training', better='low')),
    ratios=[['thousand', 'all', 'seconds', None], ['few', 'all', 'seconds', None]], rounds=1, threads=1, data='real')


def trained(args, others):
    import pandas as pd
    from course_lib.apps.imdb import imdb_texts
    from course_lib.apps.text import ready_texts, train_lm
    from course_lib.text.models.core import LMCrossEntropy
    df = ready_texts(imdb_texts(args.data), 0)
    counts = {False: 150, True: 50} if args.quick else {False: 2000, True: 500}
    df = pd.concat([df[(df.label != '') & (df.is_valid == judges)].sample(n, random_state=0) for judges, n in counts.items()], ignore_index=True)
    learn, _ = train_lm(df, epochs=0, seed=args.round)
    learn.loss_func = LMCrossEntropy(others=others)
    start = time.perf_counter()
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2, 1e-2)
    return dict(seconds=time.perf_counter() - start, nats=float(learn.validate()[0]))


def all(args): return trained(args, None)
def thousand(args): return trained(args, 1000)
def few(args): return trained(args, 300)


if __name__ == '__main__': main(dict(all=all, thousand=thousand, few=few))
