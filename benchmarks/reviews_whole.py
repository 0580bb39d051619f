"All 50,000 real reviews through the recipe, on two cores: with a language model, without, and with the reader that costs less."
import time

from common import main
from reviews import spec as reviews, told

spec = dict(
    reviews, title='Reviews: all 50,000, on two cores',
    what='The three steps of `course_lib train imdb --data real`: a language model of 25,000 reviews, a classifier on top of it, TF-IDF of words and pairs of words with '
         'logistic regression beside both, and the mean of net and counts; 25,000 other reviews judge. Or without a language model, the classifier from nothing '
         '(`--epochs 0`); or all three with `MinGRU` in place of `AWD_LSTM`. Each side in a process of its own, with two threads and nothing beside it.',
    sides=dict(whole='AWD-LSTM', nothing='AWD-LSTM, no language model', mingru='MinGRU'),
    measures={k: v for k, v in reviews['measures'].items() if k not in ('best', 'entropy')}, threads=2)


def whole(args): return told(args)
def nothing(args): return told(args, '--epochs', '0')


def mingru(args):
    "The recipe has no option for its reader: the same steps in Python."
    from course_lib.apps.imdb import imdb_texts
    from course_lib.apps.recipe import data_folder
    from course_lib.apps.text import ready_texts, run_steps
    from course_lib.data.external import URLs
    from course_lib.text.models.mingru import MinGRU
    start, settings = time.perf_counter(), dict(lang='en', epochs=1 if args.quick else None, max_vocab=12_000, seed=args.round)
    df = ready_texts(imdb_texts(data_folder(URLs.IMDB, 'sample' if args.quick else 'real')), args.round)
    result = run_steps('imdb', 'real', df, settings, arch=MinGRU)
    found = {k: result.metrics[k] for k in ('accuracy', 'lm_loss', 'lm_accuracy')}
    return dict(found, joint=result.metrics['joint_accuracy'], seconds=time.perf_counter() - start, settings=settings,
                counts=result.baselines['word counts']['accuracy'])


if __name__ == '__main__': main(dict(whole=whole, nothing=nothing, mingru=mingru))
