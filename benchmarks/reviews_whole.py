"All 50,000 real reviews through the recipe, on two cores: with a language model, without, and with the reader that costs less."
from common import main
from reviews import spec as reviews, told

spec = dict(
    reviews, title='Reviews: all 50,000, on two cores',
    what='The three steps of `course_lib train imdb --data real`: a language model of 25,000 reviews, a classifier on top of it, TF-IDF of words and pairs of words with '
         'logistic regression beside both, and the mean of net and counts; 25,000 other reviews judge. Or without a language model, the classifier from nothing '
         '(`--epochs 0`); or all three with another reader (`--arch MinGRU`). Each side in a process of its own, with two threads and nothing beside it.',
    sides=dict(whole='AWD-LSTM', nothing='AWD-LSTM, no language model', mingru='MinGRU'),
    measures={k: v for k, v in reviews['measures'].items() if k not in ('best', 'entropy')}, threads=2)


def whole(args): return told(args)
def nothing(args): return told(args, '--epochs', '0')
def mingru(args): return told(args, '--arch', 'MinGRU')


if __name__ == '__main__': main(dict(whole=whole, nothing=nothing, mingru=mingru))
