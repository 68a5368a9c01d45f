"""How good and how fast codecs are, measured."""
