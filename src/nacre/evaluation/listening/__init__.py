"""Listening tests that people take in a browser: built, run, exported and judged.

plan.py     what a test is, and the file that says so     stimuli.py   anchors, loudness, files
making.py   originals and codecs to a test folder         sequence.py  who hears what in which order
store.py    participants and answers, in SQLite           app.py       the pages and what they ask for
serving.py  the app on a port                             results.py   screening, means, significance
student.py  intervals without scipy                       chart.py     figures as SVG
webmushra.py  the same test for webMUSHRA
"""
