"""WHAT travels: the records, their topics and their codecs; knows no client and nothing else of ours."""
