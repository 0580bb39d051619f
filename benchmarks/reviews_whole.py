"All 50,000 real reviews through the recipe, on two cores: with both readers, and without a language model."
from common import main
from reviews import spec as reviews, told

spec = dict(
    reviews, title='Reviews: all 50,000, on two cores',
    what='The three steps of `course_lib train imdb --data real`: a language model of 25,000 reviews, a classifier on top of it, TF-IDF of words and pairs of words with '
         'logistic regression beside both, and the mean of net and counts; 25,000 other reviews judge. The reader is AWD-LSTM, or MinGRU (`--arch MinGRU`); and MinGRU '
         'without a language model, the classifier from nothing (`--epochs 0`). Each side in a process of its own, with two threads and nothing beside it.',
    sides=dict(whole='AWD-LSTM', mingru='MinGRU', nothing='MinGRU, no language model'),
    measures={k: v for k, v in reviews['measures'].items() if k not in ('best', 'entropy')}, threads=2)


def whole(args): return told(args)
def mingru(args): return told(args, '--arch', 'MinGRU')
def nothing(args): return told(args, '--arch', 'MinGRU', '--epochs', '0')


if __name__ == '__main__': main(dict(whole=whole, mingru=mingru, nothing=nothing))
