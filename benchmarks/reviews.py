"The recipe of reviews through the command: on drawn ones, whose entropy and best accuracy are known, on 1,000 real ones, and on 800 after reading 25,000."
import tempfile
from pathlib import Path

from common import main, recipe

spec = dict(
    title='Reviews: the recipe `imdb` beside word counts',
    what='`course_lib train imdb`, as it comes: a language model of the texts to learn from, a classifier on top of it, TF-IDF of words and pairs of words '
         'with logistic regression beside both, and the mean of net and counts. Drawn reviews: 2,000 with a label and 2,000 without, 1,000 to judge by; '
         'the sample: 800 and 200; the whole with 800 labels, the other 24,200 reviews for the language model only, 25,000 to judge by. '
         'Each side in a process of its own.',
    about_data='real reviews of films from the mirror (Maas and others, 2011)', source='IMDB_SAMPLE', sample='imdb_sample',
    sides=dict(drawn='drawn reviews', sample='1,000 real reviews', few='50,000, 800 with a label'),
    measures=dict(accuracy=dict(text='accuracy of the net', better='high', quality=True),
                  counts=dict(text='accuracy of word counts', better='high', quality=True),
                  joint=dict(text='accuracy of the mean of both', better='high', quality=True),
                  best=dict(text='best possible accuracy', better='high', quality=True),
                  lm_loss=dict(text='language model, nats a token', better='low', quality=True),
                  entropy=dict(text='entropy of the source, nats a token', better='low', quality=True),
                  lm_accuracy=dict(text='next word right', better='high', quality=True),
                  seconds=dict(text='seconds, whole command', better='low')),
    ratios=[], rounds=1, threads=1, data='real')


def told(args, *more):
    "What the command says of reviews."
    found, took = recipe(args, 'imdb', '--epochs 1', *more)
    return dict({k: found[k] for k in ('accuracy', 'lm_loss', 'lm_accuracy') if k in found}, joint=found['joint_accuracy'], seconds=took, settings=found['settings'],
                counts=found['baselines']['word counts']['accuracy'])


def drawn(args):
    from course_lib.data.drawn_reviews import bayes_accuracy, review_entropy, review_grammar
    nats, length = review_entropy(review_grammar())
    return told(args, '--data', 'sample') | dict(best=bayes_accuracy(), entropy=nats / length)


def sample(args): return told(args, '--data', str(args.data))


def few(args, labels=800):
    "All reviews, and `labels` labels: the others of those to learn from have none."
    from course_lib.apps.imdb import imdb_texts
    from course_lib.apps.recipe import data_folder
    from course_lib.data.external import URLs
    df = imdb_texts(data_folder(URLs.IMDB, 'sample' if args.quick else 'real'))
    learns = df.index[(df.label != '') & ~df.is_valid.astype(bool)]
    keep = df.loc[learns].sample(labels, random_state=args.round).index
    df.loc[learns.difference(keep), 'label'] = ''
    with tempfile.TemporaryDirectory() as folder:
        df.to_csv(Path(folder)/'texts.csv', index=False)
        return told(args, '--data', folder)


if __name__ == '__main__': main(dict(drawn=drawn, sample=sample, few=few))
