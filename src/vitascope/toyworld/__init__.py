"""The toy world: a procedural place whose every clip comes with its truth.

`scenes` draws scenes by lot, `renderer` draws them as clips, `captions` says what they show (English and
Chinese) and reads such sentences, `checkers` reads clips back, `prompts` is the fixed list to measure on.
"""
